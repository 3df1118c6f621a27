// Chains, newest activity first. Rows change in place; new ones move in only while nobody points at the list or reads
// further down, and are counted otherwise.

import { h, button, atMostEvery, setText, tableHead } from './element.js';
import { AGAIN_MS } from './api.js';
import { ChainList } from './chain_list.js';
import { LOOKS, PAGE, pageOfChains } from './chain_pages.js';
import { ChainRow, COLUMNS } from './chain_row.js';
import { count, plural } from './format.js';
import { emptiness, filters, narrows } from './filters.js';
import { given, go, link, remember } from './router.js';
import { pauseButton } from './marks.js';
import { step } from './keyboard.js';

const REFRESH_MS = 700;

export class ChainsView {
  constructor(context, route) {
    this.title = 'Chains';
    this.help = [['n', 'show the new chains'], ['x', 'pick a chain'], ['c', 'compare the two picked']];
    this.keys = {
      '/': () => this._filters.search.focus(),
      j: () => step(this._links(), 1),
      k: () => step(this._links(), -1),
      n: () => this._show(true),
      p: () => this._pause.turn(),
      x: () => this._pick(rowInFocus()),
      c: () => { if (this._picked.length >= 2) go(link('compare', this._picked.slice(-2))); },
    };
    this._context = context;
    this._filter = given(route.query, { q: '', source: '', state: '', minutes: '' });
    this._chains = new ChainList(PAGE);
    this._picked = []; // for a comparison
    this._busy = false; // a page is being read, or could not be
    this._search = 0; // which one this is: what was read for an earlier one is let go
    this._retrying = 0;
    this._refresh = atMostEvery(REFRESH_MS, () => this._readNewest());
    this._ticking = setInterval(() => this._eachRow((row) => row.tick()), 1_000);
    this.node = this._build();
  }

  _build() {
    this._filters = filters(this._filter, () => { remember(this._here()); this._reload(); });
    this._pause = pauseButton('Hold the list (p); new chains are counted', this._context.say, () => this._show(false));
    this._filters.bar.append(this._pause.node);
    this._list = h('div', { class: 'rows', role: 'rowgroup' });
    this._pill = button('', 'Show the new chains (n)', () => this._show(true), { class: 'pill', hidden: true });
    this._foot = h('div', { class: 'foot' });
    this._empty = h('div');
    this._table = h('div', { class: 'table chains', role: 'table', 'aria-label': 'Chains, newest activity first' },
      tableHead(COLUMNS, 'k'), this._list);
    this._scroller = h('div', { class: 'scroll', tabindex: -1 }, this._table, this._empty, this._foot);
    this._scroller.addEventListener('scroll', () => {
      this._fillUp();
      if (this._scroller.scrollTop < 4 && this._chains.waiting) this._show(false);
    }, { passive: true });
    return h('section', { class: 'view chains-view', 'aria-label': 'Chains' },
      this._filters.bar, h('div', { class: 'pillbox' }, this._pill), this._scroller);
  }

  start() {
    this._here();
    this._reload();
    this._context.live.follow({
      path: 'stream',
      opened: () => { if (this._chains.newestId < this._context.live.old) this._refresh(); }, // came behind the list, before the stream
      entry: (text) => {
        if (this._filter.state) this._chains.touch(JSON.parse(text).correlation_id); // it may leave the state
        this._refresh();
      },
      // of the entries that were passed over nobody knows whose chains left the state
      again: (why) => (why === 'replaced' || this._filter.state ? this._reload() : this._refresh()),
      gap: () => this._refresh(),
    });
  }

  leave() {
    this._filters.leave();
  }

  stop() {
    const row = rowInFocus();
    if (row) this._context.left = { list: this._context.list, id: row.dataset.id };
    this.leave();
    clearTimeout(this._retrying);
    clearInterval(this._ticking);
    this._refresh.cancel();
    this._search += 1;
  }

  // Where the views behind this one lead back to.
  _here() {
    return (this._context.list = link('chains', [], this._filter));
  }

  // Reading: from the beginning, further back, and the newest again.

  async _reload() {
    const mine = (this._search += 1);
    clearTimeout(this._retrying);
    this._busy = true;
    setText(this._foot, 'Loading …');
    try {
      const page = await pageOfChains(this._filter, null);
      if (mine !== this._search) return;
      this._chains.begin(page);
      this._list.replaceChildren();
      this._pill.hidden = true;
      this._order();
      this._tell();
      this._sayFound();
      this._busy = false;
      await this._goBackTo(this._context.left);
    } catch (error) {
      if (mine !== this._search) return;
      setText(this._foot, error.message);
      this._retrying = setTimeout(() => this._reload(), AGAIN_MS);
    }
    this._fillUp();
  }

  async _readOlder() {
    if (this._busy || this._chains.next === null) return;
    const mine = this._search;
    this._busy = true;
    setText(this._foot, 'Loading older chains …');
    try {
      const page = await pageOfChains(this._filter, this._chains.next);
      if (mine !== this._search) return;
      this._list.append(...this._chains.append(page).map((known) => this._row(known).node));
      this._tell();
      this._sayFound();
    } catch (error) {
      if (mine !== this._search) return;
      setText(this._foot, error.message);
      this._retrying = setTimeout(() => this._fillUp(), AGAIN_MS);
    } finally {
      if (mine === this._search) this._busy = false;
    }
  }

  async _readNewest() {
    if (!this.node.isConnected) return;
    if (this._busy) return this._refresh(); // what is being read may be older than what came
    const mine = this._search;
    const touched = this._chains.takeTouched();
    try {
      const page = await pageOfChains(this._filter, null, 1);
      if (mine !== this._search || this._busy) {
        touched.forEach((id) => this._chains.touch(id));
        return this._refresh();
      }
      for (const known of this._chains.merge(page, touched)) known.row?.update();
      this._show(false);
    } catch { /* the banner tells of a lost connection */ }
  }

  _fillUp() {
    const { scrollHeight, scrollTop, clientHeight } = this._scroller;
    if (this._chains.next === null || this._busy || scrollHeight - scrollTop >= clientHeight + 400) return;
    this._readOlder().then(() => {
      if (this._chains.size && this.node.isConnected && this._scroller.scrollHeight <= this._scroller.clientHeight) this._fillUp();
    });
  }

  // To the row that this list was left by.
  async _goBackTo(left) {
    this._context.left = null;
    if (left?.list !== this._context.list) return;
    const chains = this._chains;
    const elsewhere = () => !this.node.isConnected || document.activeElement.matches('a, button, input, select');
    for (let look = 0, at = null; !elsewhere() && !chains.find(left.id) && chains.next !== at && look < LOOKS; look += 1) {
      at = chains.next;
      await this._readOlder();
    }
    if (elsewhere() || !chains.find(left.id)) return;
    const row = this._row(chains.find(left.id)).node;
    row.querySelector('a').focus({ preventScroll: true });
    row.scrollIntoView({ block: 'center' });
  }

  // Showing.

  // Move what is new into the list: when asked, or when that moves nothing that somebody looks at.
  _show(asked) {
    if (asked || this._isQuiet()) this._settle(asked);
    const { waiting, torn } = this._chains;
    this._pill.hidden = !waiting;
    setText(this._pill, `${count(waiting)}${torn ? '+' : ''} new`);
    this._tell();
  }

  _isQuiet() {
    return !this._pause.held && this._scroller.scrollTop < 4 && !this._scroller.matches(':hover')
      && !this._list.contains(document.activeElement);
  }

  _settle(asked) {
    const anew = this._chains.torn;
    const had = rowInFocus()?.dataset.id;
    for (const known of this._chains.settle()) known.row?.node.remove();
    this._order();
    if (had) (this._chains.find(had)?.row.node ?? this._list.firstChild)?.querySelector('a').focus({ preventScroll: true });
    if (asked) this._scroller.scrollTop = 0;
    if (!anew) return;
    this._search += 1; // what is being read lies below what is gone
    this._busy = false;
    this._fillUp();
  }

  _order() {
    let at = this._list.firstChild;
    for (const known of this._chains.newest) {
      const { node } = this._row(known);
      if (node === at) at = at.nextSibling;
      else this._list.insertBefore(node, at);
    }
  }

  _row(known) {
    if (!known.row) {
      known.row = new ChainRow(known);
      known.row.node.classList.toggle('picked', this._picked.includes(known.id));
    }
    return known.row;
  }

  _eachRow(act) {
    for (const { row } of this._chains) if (row) act(row);
  }

  _tell() {
    const none = !this._chains.size;
    const end = this._chains.next === null;
    this._table.hidden = none;
    this._empty.replaceChildren(...(none ? [emptiness(this._filter, !end)] : []));
    const { longestMs } = this._chains;
    this._eachRow((row) => row.scale(longestMs));
    if (none && end) setText(this._foot, '');
    else if (end) setText(this._foot, `${plural(this._list.childElementCount, 'chain')}: all that ${narrows(this._filter) ? 'match' : 'are stored'}`);
    else if (!this._foot.firstElementChild) {
      this._foot.replaceChildren(button('Look further back', 'Load older chains', () => this._readOlder()));
    }
  }

  // What was asked for; what comes by itself is not said.
  _sayFound() {
    const older = this._chains.next === null ? '' : ', and older ones';
    this._context.say(this._empty.querySelector('h2')?.textContent ?? `${plural(this._list.childElementCount, 'chain')}${older}`);
  }

  _pick(row) {
    if (!row) return;
    const { id } = row.dataset;
    const picked = !this._picked.includes(id);
    this._picked = picked ? [...this._picked, id] : this._picked.filter((each) => each !== id);
    row.classList.toggle('picked', picked);
    this._context.say(`${plural(this._picked.length, 'chain')} picked${this._picked.length === 2 ? ', c compares them' : ''}`);
  }

  _links() {
    return [...this._list.querySelectorAll('a.id')];
  }
}

function rowInFocus() {
  return document.activeElement.closest('.rows .row');
}
