// Everything as it comes, oldest above. Who reads further up is never moved: when the room is used up, the stream is held,
// and the file keeps the rest until somebody scrolls on.

import { h, atMostEvery, button, setText, typed } from './element.js';
import { AGAIN_MS, get } from './api.js';
import { count, plural, rate } from './format.js';
import { nothing, nothingYet, pauseButton } from './marks.js';
import { given, link, remember } from './router.js';
import { TailBuffer } from './tail_buffer.js';
import { tailHead, TailRow } from './tail_row.js';
import { VirtualRows } from './virtual.js';

const BEHIND = 2_000; // kept above when somebody reads on
const NEAR = 300; // rows before the end at which a full list goes on
const BACK = 1_000; // newest entries that are looked through for a beginning
const FAST = 250; // entries a second, beyond which a paint takes turns with reading
const TURN_MS = 200;
const EVERYTHING = { source: '', operation: '', endpoint: '', correlation_id: '' };

const FIELDS = [
  ['source', 'Source, the whole name', 'Source', 'source'],
  ['operation', 'Operation, the whole word', 'Operation', 'source'],
  ['endpoint', 'Endpoint, with * and ?', 'Endpoint  *', 'grow'],
  ['correlation_id', 'Correlation id, with * and ?', 'Correlation id  *', 'grow'],
];

export class TailView {
  constructor(context, route) {
    this.title = 'Tail';
    this.help = [['p', 'pause or resume'], ['n G', 'to the newest'], ['g', 'to the oldest kept']];
    this.keys = {
      '/': () => this._filters.search.focus(),
      p: () => this._pause.turn(),
      n: () => this._toNewest(),
      G: () => this._toNewest(),
      j: () => this._rows.step(1),
      k: () => { this._follow = false; this._rows.step(-1); },
      g: () => { this._follow = false; this._rows.node.scrollTop = 0; },
    };
    this._context = context;
    this._live = context.live;
    this._filter = given(route.query, EVERYTHING);
    this._buffer = new TailBuffer(false);
    this._follow = true; // the newest, as it comes
    this._before = { came: 0, fills: 0, at: performance.now() }; // a second ago
    this._speed = 0; // entries a second
    this._retrying = 0;
    this._paintInTurn = atMostEvery(TURN_MS, () => this._paint());
    this._ticking = setInterval(() => this._measure(), 1_000);
    this.node = this._build();
  }

  _build() {
    this._filters = tailFilter(this._filter, () => { remember(link('tail', [], this._filter)); this._load(); });
    this._pause = pauseButton('Hold the stream where it is (p); nothing is lost', this._context.say,
      (held) => this._turn(held));
    this._pace = h('span', { class: 'pace number' });
    this._filters.bar.append(this._pause.node, this._pace);
    this._rows = new VirtualRows({
      make: () => new TailRow((number) => this._buffer.at(number)), head: tailHead(), label: 'Entries as they arrive', name: 'tail',
    });
    this._rows.sticky = true;
    this._rows.onscroll = (up) => this._scrolled(up);
    this._pill = button('', 'Go to the newest (n)', () => this._toNewest(), { class: 'pill', hidden: true });
    this._empty = h('div');
    return h('section', { class: 'view tail-view', 'aria-label': 'Tail' },
      this._filters.bar, this._empty, this._rows.node, h('div', { class: 'pillbox low' }, this._pill));
  }

  start() {
    this._load();
  }

  leave() {
    this._filters.leave();
  }

  stop() {
    this.leave();
    clearTimeout(this._retrying);
    clearInterval(this._ticking);
    this._paintInTurn.cancel();
    this._rows.dispose();
    this._buffer = new TailBuffer(false);
    this._live.follow(null);
  }

  // The stream, and what is stored before it.

  async _load() {
    const buffer = new TailBuffer(Object.values(this._filter).some(Boolean));
    this._buffer = buffer;
    this._follow = true;
    this._rows.reset();
    clearTimeout(this._retrying);
    try {
      const stats = await get('stats');
      const { traces } = await get('recent', { limit: BACK, source: this._filter.source });
      if (buffer !== this._buffer) return;
      const found = traces.filter(matcher(this._filter));
      if (traces.length === BACK && found.length < BACK) {
        buffer.push({ note: `Only the newest ${count(BACK)} earlier entries were searched` });
      }
      for (const entry of found) buffer.push(entry);
      buffer.position = traces.at(-1)?.id ?? stats.newest_id;
    } catch { // the banner tells of a lost connection
      if (buffer !== this._buffer) return;
      buffer.position = this._live.newest || null;
      this._retrying = setTimeout(() => this._load(), AGAIN_MS);
    }
    this._rows.end = buffer.end;
    this._rows.again();
    this._rows.toEnd();
    this._listen();
    this._tell();
  }

  _listen() {
    const buffer = this._buffer;
    if (buffer.position === Infinity || (buffer.held && !buffer.filtered)) return; // not read yet, or held by then
    this._live.follow({
      path: 'stream', parameters: this._filter, from: buffer.position,
      entry: (text, id) => {
        if (buffer !== this._buffer || !buffer.take(id)) return;
        this._push(text);
        if (this._speed > FAST) this._paintInTurn();
        else this._paint();
      },
      again: (why) => {
        if (why === 'replaced') this._load();
        else if (!buffer.held) {
          const missed = plural(this._live.newest - buffer.position, 'entry', 'entries');
          this._note(`${missed} of all sources skipped while the connection was lost`);
          buffer.position = this._live.newest;
        }
      },
      gap: ({ lost }) => {
        const removed = lost === undefined ? 'some entries' : plural(lost, 'entry', 'entries');
        this._note(`Retention removed ${removed} before they could be shown`);
      },
    });
  }

  _push(item) {
    const buffer = this._buffer;
    buffer.push(item);
    this._rows.end = buffer.end;
    if (this._following && buffer.isOverfull) this._keep();
    else if (!this._following && buffer.isFull && !buffer.held) this._hold('full');
  }

  _note(text) {
    this._push({ note: text });
    this._paint();
  }

  _keep(newest) {
    this._buffer.keep(newest);
    this._rows.drop(this._buffer.first);
  }

  // Holding and going on.

  get _following() { return this._follow && !this._rows.chosen; }

  get _missed() { return this._buffer.missed(this._live.newest); }

  _turn(held) {
    if (!held) this._resume();
    else if (this._buffer.held === 'full') this._buffer.held = 'pause';
    else this._hold('pause');
    this._showPace();
  }

  _hold(why) {
    this._paintInTurn.cancel();
    this._paint(); // what came so far
    this._buffer.hold(why);
    if (!this._buffer.filtered) this._live.hold();
    if (why === 'full') this._context.say('Held while you read');
    this._showPace();
  }

  _resume() {
    // what came meanwhile does not rush by: who was at the end begins to read where the pause began
    if (this._missed > this._rows.visible) this._follow = false;
    this._goOn();
  }

  _goOn() {
    this._buffer.held = null;
    this._listen();
  }

  _toNewest() {
    this._follow = true;
    if (this._rows.chosen) this._rows.node.focus({ preventScroll: true });
    if (this._buffer.held) {
      const missed = this._missed;
      this._buffer.passOver(this._live.newest);
      if (missed > 0) this._note(`${plural(missed, 'entry', 'entries')} skipped`);
      this._listen();
    }
    this._rows.toEnd();
    this._showPace();
  }

  _scrolled(up) {
    const rows = this._rows;
    const full = this._buffer.held === 'full';
    const follow = !up && (this._follow || rows.atEnd);
    if (follow !== this._follow && !full) {
      this._follow = follow;
      this._showPace();
    }
    if (full && rows.end - rows.below < NEAR) {
      this._keep(Math.max(BEHIND, rows.end - rows.below + NEAR));
      this._goOn();
    }
  }

  // Showing.

  _paint() {
    if (this._following) this._rows.toEnd();
    else this._rows.paint();
    if (this._rows.node.hidden) this._tell();
  }

  // How fast it comes, and how much of it was really on the screen.
  _measure() {
    if (this._buffer.held === 'full' && this._following) this._scrolled(false); // the row that had the focus has lost it
    const { came } = this._buffer;
    const { fills } = this._rows;
    const at = performance.now();
    const seconds = (at - this._before.at) / 1000;
    this._speed = Math.max(0, came - this._before.came) / seconds;
    const shown = (fills - this._before.fills) / seconds;
    this._before = { came, fills, at };
    this._showPace(shown);
  }

  _showPace(shown = Infinity) {
    const { held } = this._buffer;
    const later = held ? this._missed : 0;
    const more = Math.max(0, this._rows.end - this._rows.below) + later;
    setText(this._pace, this._words(shown, later));
    this._pace.classList.toggle('held', Boolean(held));
    this._pause.show(held === 'pause');
    this._pill.hidden = (this._following && held !== 'full') || more < 1;
    setText(this._pill, `${count(more)} newer ↓`);
  }

  _words(shown, later) {
    const { held } = this._buffer;
    if (held) {
      const why = held === 'full' ? 'held while you read' : 'paused';
      return later ? `${why} · ${count(later)} arrived meanwhile` : why;
    }
    if (this._following && this._speed > FAST && shown < this._speed * 0.95) return `showing ${count(shown)} of ${rate(this._speed)}`;
    return rate(this._speed);
  }

  _tell() {
    const none = this._buffer.isEmpty;
    this._rows.node.hidden = none;
    this._empty.replaceChildren(...(none ? [emptiness(this._buffer.filtered)] : []));
    this._showPace();
  }
}

function emptiness(filtered) {
  if (!filtered) return nothingYet('No entries yet');
  return nothing('No matching entries yet',
    h('p', 'They appear as they arrive. Source and operation must match exactly; endpoint and id may contain * and ?.'));
}

function tailFilter(filter, changed) {
  const { field, leave } = typed(filter, changed);
  const inputs = FIELDS.map(([name, label, hint, kind]) =>
    field(name, { placeholder: hint, 'aria-label': label, title: label, class: kind }));
  return { bar: h('div', { class: 'bar', role: 'search' }, inputs), search: inputs[0], leave };
}

function matcher(filter) {
  const endpoint = glob(filter.endpoint);
  const id = glob(filter.correlation_id);
  return (entry) => (!filter.source || entry.source_id === filter.source)
    && (!filter.operation || entry.operation === filter.operation)
    && endpoint.test(entry.endpoint) && id.test(entry.correlation_id);
}

function glob(pattern) {
  if (!pattern) return /^/;
  const source = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*').replaceAll('?', '.');
  return new RegExp(`^${source}$`, 'su');
}
