// The timeline: bars of a chain on one axis of time. Each paint looks only at what is in sight: rows by where the
// page is scrolled to, bars by binary search, and of bars thinner than a pixel at most one a pixel.

import { h } from './element.js';
import { paintAxis, paintBars, paintLanes, paintMap } from './brush.js';
import { duration } from './format.js';
import { firstAfter, lengthOf } from './pairing.js';
import { offset, Span } from './span.js';
import { AXIS, FOOT, ROW, Stage } from './stage.js';
import { onTheme } from './theme.js';
import { Gestures } from './gestures.js';

const PAD = 7; // between the groups of two sources
const NARROW = 640; // below it, a source's name stands above its rows and not beside them
const RESTS_MS = 150;
const FROZEN = 3; // open for so many times what was recorded: the view ends with the record, not with now

export class Timeline {
  constructor({ select, now, say }) {
    this.span = new Span();
    this.now = now; // () => ms since the first entry, on the chain's clock
    this.select = select;
    this.say = say;
    this.model = { bars: [], groups: [], gaps: [], last: 0, opens: [], origin: 0 };
    this.selected = this.hovered = null;
    this.ruler = null; // {from, to}
    this.measuring = false;
    this.matches = null; // bars that the search finds; null: all
    this.auto = true; // the view follows what comes
    this.stage = new Stage('Timeline. Arrow keys and j k move among steps, plus and minus zoom, 0 shows all.', (context) => this._paint(context));
    this.stage.onfit = (appears) => { this._fit(); if (appears) this.choose(this.selected); };
    this.map = new Stage('', (context) => paintMap(context, this)); // keys zoom and pan without it
    this.map.node.classList.add('map');
    this.tip = h('div', { class: 'tip', hidden: true, 'aria-hidden': 'true' });
    this.node = h('div', { class: 'timeline' }, this.map.node, this.stage.node, this.tip);
    this._offTheme = onTheme(() => this.paint());
    new Gestures(this);
  }

  show(model) {
    this.model = model;
    this.hovered = null;
    this._fit();
  }

  // How far the record, or now, reaches.
  get end() {
    if (!this.model.opens.length) return this.model.last;
    return Math.max(this.now(), this.model.last);
  }

  get frozen() {
    return this.model.opens.length > 0 && this.end - this.model.last > Math.max(this.model.last * FROZEN, 10_000);
  }

  // How much of time the small picture of the whole spans.
  get mapEnd() { return Math.max(this.frozen ? this.model.last * 1.14 : this.end, 1e-3); }

  get gutter() { return this.stage.width < NARROW ? 0 : Math.min(208, Math.round(this.stage.width * 0.17)); }

  get heading() { return this.gutter ? 0 : 18; }

  fit() {
    this.auto = true;
    this._fit();
    this.tell();
  }

  fitNow() {
    this.auto = false;
    this.span.set(-this.end * 0.02, this.end * 1.03 || 1);
    this.tell();
    this.paint();
  }

  focusOn(bar) {
    this.auto = false;
    const length = Math.max(lengthOf(bar, this.end), this.model.last / 1e5, 0.01);
    this.span.set(bar.start - length * 0.25, bar.start + length * 1.25);
    this.reveal(bar);
  }

  zoom(factor, around = (this.span.start + this.span.end) / 2) {
    this.auto = false;
    this.span.zoom(factor, around, Math.max(this.end, 1) * 1.5);
    this._clamp();
  }

  pan(share) {
    this.auto = false;
    this.span.pan(this.span.length * share);
    this._clamp();
  }

  choose(bar) {
    this.selected = bar;
    if (bar) this.reveal(bar);
    this.paint();
  }

  reveal(bar) {
    const top = this.topOf(bar);
    this.stage.reveal(top, top + ROW, AXIS + 8 + this.heading);
    const end = bar.kind === 'open' ? bar.start : bar.end;
    if (bar.start > this.span.end || end < this.span.start) this.span.pan(bar.start - this.span.start - this.span.length * 0.3);
    this.paint();
  }

  topOf(bar) {
    const group = this.groupOf(bar.source);
    return group ? group.top + this.heading + bar.row * ROW : 0;
  }

  groupOf(source) { return this.model.groups.find((group) => group.source === source); }

  // The bar at a place of the canvas, or one that ends within a few pixels.
  barAt(x, y) {
    if (y < AXIS || x < this.gutter) return null;
    const depth = y + this.stage.top;
    const group = this.model.groups.find((each) => depth >= each.top && depth < each.top + each.height);
    const row = group?.rows[Math.floor((depth - group.top - this.heading) / ROW)];
    if (!row) return null;
    const slack = (4 / this.span.width) * this.span.length;
    const at = this.span.at(x - this.gutter);
    const bar = row[Math.max(0, firstAfter(row, at - slack))];
    return bar && bar.start - slack <= at ? bar : null;
  }

  paint() {
    this.stage.paint();
    this.map.paint();
  }

  // Say what a ruler measures, or what is in sight, once it rests.
  tell() {
    clearTimeout(this._telling);
    this._telling = setTimeout(() => {
      const { from, to } = this.ruler ?? { from: this.span.start, to: this.span.end };
      const exact = Math.abs(to - from) / 1_000;
      this.say(`${this.ruler ? `Ruler: ${duration(Math.abs(to - from))}, from` : 'In sight:'} ${offset(from, exact)} to ${offset(to, exact)}`);
    }, RESTS_MS);
  }

  dispose() {
    clearTimeout(this._timer);
    clearTimeout(this._telling);
    this._offTheme();
    this.stage.dispose();
    this.map.dispose();
  }

  _fit() {
    let top = AXIS + 4;
    for (const group of this.model.groups) {
      group.top = top;
      group.height = group.rows.length * ROW + this.heading;
      top += group.height + PAD;
    }
    this.bottom = top; // of the rows
    this.stage.contain(0, top + FOOT);
    this.span.width = Math.max(1, this.stage.width - this.gutter - 8);
    if (this.auto) this._follow();
    this.paint();
  }

  _follow() {
    const recorded = this.model.last || 1;
    const end = this.frozen ? recorded * 1.14 : (this.model.opens.length ? Math.max(this.end, 1) * 1.06 : recorded * 1.02);
    this.span.set(-(end * 0.012), end);
  }

  _clamp() {
    this.span.clamp(0, Math.max(this.end, 1));
    this.tell();
    this.paint();
  }

  _paint(context) {
    if (this.auto && this.model.opens.length) this._follow();
    paintLanes(context, this);
    paintBars(context, this);
    paintAxis(context, this);
    this._grow();
  }

  // Open bars grow: as smooth as the eye wants while something runs, once a second when it hangs.
  _grow() {
    clearTimeout(this._timer);
    if (!this.model.opens.length || document.hidden) return;
    this._timer = setTimeout(() => this.paint(), this.frozen ? 1_000 : 40);
  }
}
