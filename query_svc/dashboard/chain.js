// One chain: what it is about, its timeline or its sequence, and the selected step.

import { h, button, atMostEvery } from './element.js';
import { AGAIN_MS, chainPath, get, parse } from './api.js';
import { ChainHead } from './chain_head.js';
import { details, took } from './details.js';
import { count, shorten, visible } from './format.js';
import { curlLine, nothing, pauseButton } from './marks.js';
import { first, model } from './pairing.js';
import { Paper } from './paper.js';
import { ChainRecord, keyOf } from './record.js';
import { chainLink, here, link, remember } from './router.js';
import { Sequence } from './sequence.js';
import { Timeline } from './timeline.js';
import { finder } from './finder.js';

const NOTED_MS = 300; // browsers count how often an address is changed
const LOOK_MS = 10_000; // until it is asked again whether an open chain is still stored
const SMALL = 3_000; // entries that are drawn anew with each one that comes; more, a few times a second

export class ChainView {
  constructor(context, route, saved = null) {
    const id = saved?.id ?? route.parts.join('/'); // several where nobody quoted its slashes
    this.title = shorten(visible(id), 40);
    this._context = context;
    this._saved = saved !== null;
    this._record = saved ? ChainRecord.of(saved) : new ChainRecord(id);
    this._reading = new AbortController(); // what is being read
    this._retrying = 0;
    this._found = model([]);
    this._selected = null;
    this._linked = route.query.get('step'); // until it is there, or another one is chosen
    this._kind = route.query.get('view') === 'sequence' ? 'sequence' : 'timeline';
    this._note = atMostEvery(NOTED_MS, () => this._noteAddress());
    this._draws = [30, 400].map((ms) => atMostEvery(ms, () => this._draw())); // a small chain, a large one
    const asking = (what) => () => this._record[what](this._reading.signal).then(() => this._showHead(), () => {});
    this._askSoon = atMostEvery(1_000, asking('whenItArrived'));
    this._look = atMostEvery(LOOK_MS, asking('look'));
    this._ticking = setInterval(() => this._tick(), 1_000);
    this.keys = this._keys();
    this.help = [
      ['v', 'timeline or sequence'], ['j k ↓ ↑', 'next, previous step'], ['Enter', 'zoom to the step'],
      ['+ -', 'zoom (also Ctrl and wheel)'], ['← →', 'pan (also drag)'], ['0', 'show the whole record'],
      ['9', 'show everything up to now'], ['r', 'ruler (also Shift and drag)'], ['/', 'find a step'], ...(saved ? [] : [['c', 'compare with another chain']]),
    ];
    this.node = this._build();
  }

  _keys() {
    const zoom = (by) => () => this._timeline.zoom(by);
    const move = (by) => () => this._move(by);
    return {
      j: move(1), k: move(-1), ArrowDown: move(1), ArrowUp: move(-1),
      v: () => this._turn(this._kind === 'timeline' ? 'sequence' : 'timeline'),
      '/': () => this._search.focus(),
      r: () => this._measure(),
      p: () => this._pause?.turn(),
      '+': zoom(1 / 1.6), '=': zoom(1 / 1.6), '-': zoom(1.6),
      0: () => this._timeline.fit(), 9: () => this._timeline.fitNow(),
      ArrowLeft: () => this._timeline.pan(-0.15), ArrowRight: () => this._timeline.pan(0.15),
      Enter: () => this._focusOnSelected(),
      c: () => { if (!this._saved) location.hash = link('compare', [this._record.id]); },
      Escape: () => this._escape(),
    };
  }

  _build() {
    const choose = (bar) => this._choose(bar);
    const shared = { now: () => this._now, say: this._context.say, select: choose };
    this._timeline = new Timeline(shared);
    this._sequence = new Sequence(shared);
    this._paper = new Paper(this._timeline);
    this._head = new ChainHead({
      record: this._record, back: this._saved ? null : this._context.list, say: this._context.say, choose,
    });
    this._body = h('div', { class: 'body' });
    this._side = h('div', { class: 'side-panel' });
    this._details = details({ choose, close: () => choose(null) });
    this._search = finder({ bars: () => this._found.bars, show: (bars) => this._showMatches(bars), choose });
    return h('section', { class: 'view chain-view', 'aria-label': 'One chain' },
      this._head.node, this._head.answers, this._bar(), this._paper.node, this._body);
  }

  _bar() {
    const kind = (name, label, title) => button(label, title, () => this._turn(name));
    this._kinds = {
      timeline: kind('timeline', 'Timeline', 'Bars on an axis of time (v)'),
      sequence: kind('sequence', 'Sequence', 'Entries as arrows between sources (v)'),
    };
    this._ruler = button('Ruler', 'Measure between two points: drag (r, or Shift and drag)', () => this._measure(),
      { 'aria-pressed': 'false', class: 'only-timeline' });
    this._pause = this._saved ? null : pauseButton('Pause updates (p); nothing is lost', this._context.say,
      () => { this._draws.forEach((draw) => draw.cancel()); this._draw(); }); // what came so far
    return h('div', { class: 'bar' },
      h('span', { class: 'group', role: 'group', 'aria-label': 'View' }, this._kinds.timeline, this._kinds.sequence),
      h('span', { class: 'group only-timeline', role: 'group', 'aria-label': 'Zoom' },
        button('−', 'Zoom out (-)', () => this._timeline.zoom(1.6)),
        button('+', 'Zoom in (+)', () => this._timeline.zoom(1 / 1.6)),
        button('Fit', 'Show all (0)', () => this._timeline.fit())),
      this._ruler, this._search.node, this._pause?.node, h('span', { class: 'spring' }), this._context.share?.(this._record));
  }

  start() {
    if (this._saved) return this._draw();
    this._fillBody();
    return this._load();
  }

  stop() {
    this._letGo();
    clearInterval(this._ticking);
    for (const each of [this._note, ...this._draws, this._askSoon, this._look]) each.cancel();
    for (const each of [this._timeline, this._sequence, this._paper]) each.dispose();
  }

  // What is stored, and what comes.

  async _load() {
    const { signal } = this._reading;
    const record = this._record;
    try {
      const { newest_id: newest } = await get('stats', {}, signal);
      await record.load(signal, () => this._drawSoon());
      this._listen(record.entries.length > SMALL || record.expired ? newest : 0); // from 0 in the order of arrival
      await record.whenItArrived(signal);
      this._showHead();
    } catch (error) {
      if (signal.aborted) return;
      this._head.fail(error.message);
      this._retrying = setTimeout(() => this._load(), AGAIN_MS);
    }
  }

  _listen(from) {
    const { _record: record, _context: { live, banner } } = this;
    live.follow({
      path: `${chainPath(record.id)}/stream`, chain: true, from,
      entry: (text, id) => {
        if (record.gone) return this._again();
        if (record.add(parse(text), id)) {
          if (id > live.old) record.arrivedNow();
          else this._askSoon();
        }
        return this._drawSoon();
      },
      again: () => this._again(),
      gap: () => banner.tell('Retention removed some entries of this chain before this page could load them.'),
    });
  }

  _again() {
    this._letGo();
    this._reading = new AbortController();
    this._record.forget();
    this._load();
  }

  _letGo() {
    this._reading.abort();
    clearTimeout(this._retrying);
  }

  // Showing.

  get _now() { return this._record.now() - this._found.origin; }

  get _end() { return Math.max(this._now, this._found.last); }

  get _current() { return this._kind === 'sequence' ? this._sequence : this._timeline; }

  _drawSoon() {
    const { entries } = this._record;
    if (this._pause.held) this._pause.show(true, entries.length - this._found.entries.length);
    else this._draws[entries.length < SMALL ? 0 : 1]();
  }

  _draw() {
    const found = model([...this._record.entries], this._record.arrived);
    const had = this._selected && first(this._selected);
    this._found = found;
    this._selected = (had && found.bars.find((bar) => first(bar) === had)) ?? null;
    this._timeline.selected = this._sequence.selected = this._selected;
    this._search.again();
    this._timeline.show(found);
    this._sequence.show(found);
    this._showSide();
    this._showHead();
    this._fillBody();
    const isLinked = (entry) => entry && keyOf(entry) === this._linked;
    const step = this._linked && found.bars.find((bar) => isLinked(bar.entry) || isLinked(bar.exit));
    if (step) this._choose(step);
  }

  _tick() {
    if (!this._found.opens.length || document.hidden || this._saved || this._record.gone) return;
    this._look();
    this._showHead();
    this._showSide();
  }

  _showHead() {
    this._head.show(this._found, this._end);
  }

  _showSide() {
    const has = Boolean(this._selected);
    if (has) this._details.show(this._selected, this._found.origin, this._end);
    else if (this._side.contains(document.activeElement)) this._current.stage.node.focus({ preventScroll: true });
    if (has !== this._side.hasChildNodes()) this._side.replaceChildren(...(has ? [this._details.node] : []));
    this._body.classList.toggle('with-side', has);
  }

  _showMatches(bars) {
    this._timeline.matches = this._sequence.matches = bars;
    this._current.paint();
  }

  _fillBody() {
    const some = this._found.bars.length > 0;
    const wanted = some ? [this._current.node, this._side] : [this._record.loaded ? noChain(this._record.id) : nothing('Loading …')];
    if (this._body.firstChild !== wanted[0] || !some) this._body.replaceChildren(...wanted);
    this.node.dataset.kind = this._kind;
    for (const [name, each] of Object.entries(this._kinds)) each.ariaPressed = name === this._kind;
  }

  // Choosing: the view, a step, a stretch of time.

  _turn(to) {
    this._kind = to;
    this._current.choose(this._selected);
    this._fillBody();
    this._context.say(to === 'timeline' ? 'Timeline' : 'Sequence');
    this._note();
    this._current.stage.node.focus({ preventScroll: true });
  }

  _choose(bar) {
    this._linked = null;
    this._selected = bar;
    this._note();
    this._current.choose(bar);
    this._showSide();
    if (!bar) return;
    const { bars } = this._found;
    this._context.say(`${this._words(bar)}, step ${count(bars.indexOf(bar) + 1)} of ${count(bars.length)}`);
  }

  _words(bar) {
    const entry = first(bar);
    return `${visible(entry.source_id)}, ${visible(entry.operation)} ${visible(entry.endpoint)}, ${took(bar, this._now)}`;
  }

  _move(by) {
    const { matches } = this._timeline;
    const bars = matches ? this._found.bars.filter((bar) => matches.has(bar)) : this._found.bars;
    if (!this._found.bars.length) return;
    const at = this._selected ? bars.indexOf(this._selected) : by > 0 ? -1 : bars.length;
    this._choose(bars[Math.max(0, Math.min(bars.length - 1, at + by))] ?? null);
  }

  _measure() {
    const timeline = this._timeline;
    timeline.measuring = !timeline.measuring;
    if (!timeline.measuring) timeline.ruler = null;
    this._ruler.ariaPressed = timeline.measuring;
    timeline.paint();
  }

  _focusOnSelected() {
    if (!this._selected) return;
    this._timeline.focusOn(this._selected);
    this._side.firstChild?.focus();
  }

  _escape() {
    if (!this._selected && !this._timeline.ruler) return this._context.back();
    this._timeline.ruler = null;
    return this._choose(null);
  }

  // In the address: which view, and which step.
  _noteAddress() {
    const { id } = this._record;
    const at = here();
    if (at.name !== 'traces' || at.parts.join('/') !== id) return; // left already
    const view = this._kind === 'sequence' ? this._kind : '';
    remember(chainLink(id, { view, step: this._selected ? keyOf(first(this._selected)) : this._linked }));
  }
}

function noChain(id) {
  return nothing('No entries of this chain yet',
    h('p', 'No entry with this id is stored: it has not arrived, has another id, or has expired. ',
      'New entries appear here at once. ', h('a', { href: link('chains', [], { q: id }) }, 'Search for similar ids')), curlLine(id));
}
