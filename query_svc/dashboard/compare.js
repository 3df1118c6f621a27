// Two chains side by side, step by step: what took longer, what is missing. Both begin at zero, on one axis.

import { h, button, searchField, tableHead } from './element.js';
import { AGAIN_MS, chainPath, get, serverNow } from './api.js';
import { Comparison, LARGE_MS } from './comparison.js';
import { CompareRow } from './compare_row.js';
import { clock, duration, plural, shorten, visible } from './format.js';
import { moment, nothing } from './marks.js';
import { chainLink, go, link } from './router.js';
import { VirtualRows } from './virtual.js';

const COLUMNS = ['Step', 'A', 'B', 'B against A'];

export class CompareView {
  constructor(context, route) {
    this.title = 'Compare';
    this.help = [['d D', 'next, previous difference'], ['l', 'the largest difference'], ['s', 'swap A and B']];
    this.keys = {
      '/': () => this._picker.focus(),
      j: () => this._rows?.step(1),
      k: () => this._rows?.step(-1),
      d: () => this._next(1),
      D: () => this._next(-1),
      l: () => this._toLargest(),
      s: () => this._swap(),
    };
    this._context = context;
    this._ids = route.parts.slice(0, 2);
    this._comparison = null;
    this._rows = null;
    this._stopped = false;
    this._retrying = 0;
    this._picker = picker(this._ids);
    this._body = h('div', { class: 'compare-room' });
    this.node = h('section', { class: 'view compare-view', 'aria-label': 'Compare two chains' }, this._picker.node, this._body);
  }

  start() {
    this._context.live.follow(null);
    if (this._ids.length < 2) {
      this._body.replaceChildren(howToPick());
      return;
    }
    this._body.replaceChildren(h('p', { class: 'hint', role: 'status' }, 'Loading both chains …'));
    this._load();
  }

  stop() {
    this._stopped = true;
    clearTimeout(this._retrying);
    this._rows?.dispose();
  }

  async _load() {
    try {
      const chains = await Promise.all(this._ids.map((id) => get(chainPath(id))));
      if (!this._stopped) this._show(chains);
    } catch (error) {
      if (this._stopped) return;
      this._body.replaceChildren(nothing('The chains did not load', h('p', error.message)));
      this._retrying = setTimeout(() => this._load(), AGAIN_MS);
    }
  }

  _show(chains) {
    const missing = chains.findIndex((chain) => !chain.count);
    if (missing >= 0) {
      const id = shorten(visible(this._ids[missing]), 90);
      this._body.replaceChildren(nothing('No such chain', h('p', `No entries of ${id} are stored. They may have expired.`)));
      return;
    }
    const comparison = new Comparison(chains);
    this._comparison = comparison;
    this._rows = new VirtualRows({
      make: () => new CompareRow((number) => comparison.pairs[number], comparison.longest, this._ids),
      head: tableHead(COLUMNS, 'd'), label: 'Steps of both chains', name: 'compared',
    });
    this._rows.end = comparison.pairs.length;
    this._body.replaceChildren(this._summary(), this._rows.node);
  }

  _summary() {
    const { chains, models, largest } = this._comparison;
    return h('div', { class: 'summary' },
      h('div', { class: 'cards' }, card('A', chains[0], models[0]), card('B', chains[1], models[1])),
      h('div', { class: 'verdict' },
        h('p', { role: 'status' }, verdict(this._comparison)),
        largest ? button('Largest difference', 'The step that explains most of the difference (l)', () => this._toLargest(), { class: 'small' }) : null,
        button('Next difference', 'To the next difference (d)', () => this._next(1), { class: 'small' }),
        button('A ⇄ B', 'Swap (s)', () => this._swap(), { class: 'small' })));
  }

  _to(number) {
    this._rows.nodeOf(number).focus({ preventScroll: true });
  }

  _toLargest() {
    const largest = this._comparison?.largest;
    if (largest) this._to(this._comparison.pairs.indexOf(largest));
  }

  _next(by) {
    if (!this._comparison) return;
    const at = Number(document.activeElement.closest('[aria-rowindex]')?.ariaRowIndex ?? 0) - 2;
    const number = this._comparison.next(at >= 0 ? at : by > 0 ? -1 : this._comparison.pairs.length, by);
    if (number === undefined) this._context.say(by > 0 ? 'No further difference' : 'No earlier difference');
    else this._to(number);
  }

  _swap() {
    if (this._ids.length === 2) go(link('compare', [this._ids[1], this._ids[0]]));
  }
}

function howToPick() {
  return nothing('Two chains, side by side',
    h('p', 'Enter two correlation ids, or pick two in the list of chains: '),
    h('p', h('kbd', 'x'), ' picks the chain in focus, ', h('kbd', 'c'), ' compares the two picked last.'));
}

function card(letter, chain, { last, origin }) {
  const id = visible(chain.correlation_id);
  return h('div', { class: 'card' }, h('b', { class: 'letter' }, letter),
    h('a', { href: chainLink(chain.correlation_id), title: id }, shorten(id, 48)),
    h('span', { class: 'gist' }, duration(last), ' · ', plural(chain.count, 'entry', 'entries'), ' · ', moment(origin),
      chain.next ? ' · only its beginning' : '',
      chain.expired ? ` · ${plural(chain.expired, 'earlier entry', 'earlier entries')} expired` : ''));
}

function verdict(comparison) {
  const [onlyA, onlyB, changed] = [comparison.only('a'), comparison.only('b'), comparison.changed.length];
  return [
    outcome(comparison),
    onlyA ? h('span', { class: 'absent' }, `${plural(onlyA, 'step')} missing in B`) : null,
    onlyB ? h('span', { class: 'absent' }, `${plural(onlyB, 'step')} only in B`) : null,
    h('span', changed ? plural(changed, 'step differs', 'steps differ') : 'no step differs'),
  ];
}

// What is recorded of a chain that is open, or a part of one, says nothing of how long it takes.
function outcome({ chains, models }) {
  const letters = (is) => ['A', 'B'].filter((_, at) => is(at)).join(' and ');
  const open = letters((at) => models[at].opens.length);
  const parts = letters((at) => chains[at].expired || chains[at].next);
  if (parts) return h('b', { class: 'slower' }, `Only a part of ${parts} is compared`);
  if (open) return h('b', { class: 'slower' }, `${open} ${open.length > 1 ? 'are' : 'is'} open, as of ${clock(serverNow(), 0)}`);
  const gain = models[1].last - models[0].last;
  const took = Math.abs(gain) < LARGE_MS ? 'as long as A' : `${duration(Math.abs(gain))} ${gain > 0 ? 'longer' : 'less'}`;
  return h('b', { class: gain > 0 ? 'slower' : 'faster' }, `B took ${took}`);
}

function picker(ids) {
  const known = h('datalist', { id: 'known-chains' });
  const inputs = ['A', 'B'].map((letter, at) => {
    const label = `Correlation id of ${letter}`;
    const input = searchField({ 'aria-label': label, placeholder: label, list: 'known-chains', class: 'grow' });
    input.value = ids[at] ?? '';
    return input;
  });
  const node = h('form', { class: 'bar', role: 'search', onsubmit: (event) => {
    event.preventDefault();
    const wanted = inputs.map((input) => input.value.trim());
    const empty = wanted.findIndex((id) => !id);
    if (empty >= 0) inputs[empty].focus();
    else go(link('compare', wanted));
  } }, inputs, h('button', { type: 'submit' }, 'Compare'), known);
  get('correlations', { limit: 100 }).then((answer) => known.append(...answer.correlations.map((chain) =>
    h('option', { value: chain.correlation_id }, duration(chain.duration_ms))))).catch(() => {});
  return { node, focus: () => inputs[0].focus() };
}
