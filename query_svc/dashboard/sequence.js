// The sequence: one column a source, time downwards, one line an entry; an arrow where another source's entry follows.

import { h } from './element.js';
import { duration, visible } from './format.js';
import { fitText, FONT, paintLine, paintRect, paintText, Stage } from './stage.js';
import { ink, onTheme, sourceClass } from './theme.js';

const LINE = 22;
const HEAD = 40;
const TIME = 78; // the column of offsets
const LEAST = 104; // the least width of a column
const PAUSE = 0.05; // of the whole: a silence so long gets a line of its own

export class Sequence {
  constructor({ select, now, say }) {
    this.now = now;
    this.select = select;
    this.say = say;
    this.selected = null;
    this.matches = null;
    this.lines = [];
    this.columns = [];
    this.stage = new Stage('Sequence. Arrow keys and j k move among steps.', (context) => this._paint(context));
    this.stage.onfit = (appears) => { this._fit(); if (appears) this.choose(this.selected); };
    this.node = h('div', { class: 'sequence' }, this.stage.node);
    this._offTheme = onTheme(() => this.paint());
    this.stage.node.addEventListener('click', (event) => {
      const y = event.clientY - this.stage.node.getBoundingClientRect().top;
      if (y > HEAD) this.select(this.lines[Math.floor((y - HEAD + this.stage.top) / LINE)]?.bar ?? null);
    });
  }

  show(model) {
    this.model = model;
    this.columns = model.groups.map((group) => group.source);
    const column = new Map(this.columns.map((source, at) => [source, at]));
    const bars = new Map(model.bars.flatMap((bar) => [[bar.entry, bar], [bar.exit, bar]]));
    const depths = new Array(this.columns.length).fill(0);
    this.lines = [];
    this.changes = this.columns.map(() => []); // of each column's depth: [line from which it holds, depth]
    let before = null;
    for (const entry of model.entries) {
      const quiet = before ? entry.timestamp - before.entry.timestamp : 0;
      if (quiet > 0 && quiet >= model.last * PAUSE && model.entries.length > 4) this.lines.push({ quiet });
      const at = column.get(entry.source_id);
      const bar = bars.get(entry);
      const enters = entry.direction === '->';
      const line = { entry, at, bar, enters, from: before && before.at !== at ? before.at : null };
      if (enters) this.changes[at].push([this.lines.length, depths[at] += 1]);
      else if (depths[at] > 0) this.changes[at].push([this.lines.length + 1, depths[at] -= 1]);
      this.lines.push(line);
      before = line;
    }
    if (model.opens.length) this.lines.push({ quiet: null });
    this._fit();
  }

  choose(bar) {
    this.selected = bar;
    const at = bar ? this.lines.findIndex((line) => line.bar === bar) : -1;
    if (at >= 0) this.stage.reveal(HEAD + at * LINE, HEAD + (at + 1) * LINE, HEAD + 4);
    this.paint();
  }

  paint() { this.stage.paint(); }

  dispose() {
    this._offTheme();
    this.stage.dispose();
  }

  _fit() {
    const room = this.stage.width - TIME - 8;
    this.wide = Math.max(this.stage.width < 640 ? 72 : LEAST, Math.min(260, room / Math.max(1, this.columns.length)));
    this.stage.contain(TIME + this.wide * this.columns.length + 8, HEAD + this.lines.length * LINE + 12);
    this.paint();
  }

  _inSight() {
    const from = Math.max(0, Math.floor((this.stage.left - TIME) / this.wide));
    return { from, to: Math.min(this.columns.length, from + Math.ceil(this.stage.width / this.wide) + 2) };
  }

  _depth(column, line) {
    const changes = this.changes[column];
    let [low, high] = [0, changes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (changes[middle][0] <= line) low = middle + 1;
      else high = middle;
    }
    return low ? changes[low - 1][1] : 0;
  }

  _x(column) { return TIME + (column + 0.5) * this.wide - this.stage.left; }

  _paint(context) {
    const { stage } = this;
    paintRect(context, ink('--ground'), 0, 0, stage.width, stage.height);
    context.font = FONT;
    context.textBaseline = 'middle';
    const from = Math.max(0, Math.floor(stage.top / LINE));
    const to = Math.min(this.lines.length, from + Math.ceil(stage.height / LINE) + 1);
    this._lifelines(context);
    for (let at = from; at < to; at += 1) this._line(context, at, HEAD + at * LINE - stage.top + LINE / 2);
    this._head(context);
  }

  _lifelines(context) {
    context.fillStyle = ink('--line');
    const { from, to } = this._inSight();
    for (let at = from; at < to; at += 1) context.fillRect(Math.round(this._x(at)), HEAD, 1, this.stage.height);
  }

  _head(context) {
    const { stage, model } = this;
    paintRect(context, ink('--raised'), 0, 0, stage.width, HEAD);
    paintRect(context, ink('--line'), 0, HEAD - 1, stage.width, 1);
    const { from, to } = this._inSight();
    this.columns.slice(from, to).forEach((source, place) => {
      const at = from + place;
      const x = this._x(at) - this.wide / 2 + 6;
      paintRect(context, ink('--c', sourceClass(source)), x, 7, 3, 26);
      paintText(context, ink('--ink'), fitText(context, visible(source), this.wide - 18), x + 8, 13);
      const hosts = [...model.groups[at].hosts];
      paintText(context, ink('--quiet'), fitText(context, hosts.length > 1 ? `${hosts.length} hosts: ${visible(hosts.join(', '))}` : visible(hosts[0] ?? ''), this.wide - 18), x + 8, 28);
    });
    paintRect(context, ink('--raised'), 0, 0, TIME - 6, HEAD - 1);
  }

  _line(context, number, y) {
    const line = this.lines[number];
    const { from, to } = this._inSight();
    context.globalAlpha = this.matches && !this.matches.has(line.bar) ? 0.22 : 1;
    for (let at = from; at < to; at += 1) {
      const depth = this._depth(at, number);
      if (!depth) continue;
      context.fillStyle = ink('--soft', sourceClass(this.columns[at]));
      const wide = 5 + Math.min(depth - 1, 4) * 3;
      context.fillRect(this._x(at) - wide / 2 + 0.5, y - LINE / 2, wide, LINE);
    }
    if (line.entry) this._entry(context, line, y);
    else this._pause(context, line, y);
    context.globalAlpha = 1;
  }

  _pause(context, line, y) {
    const lasts = line.quiet === null;
    paintRect(context, ink(lasts ? '--hang' : '--gap'), 0, y - LINE / 2, this.stage.width, LINE);
    context.fillStyle = ink(lasts ? '--bad' : '--quiet');
    const quiet = line.quiet ?? Math.max(0, this.now() - this.model.last);
    context.fillText(`nothing recorded for ${duration(quiet)}${lasts ? `; ${this.model.opens.length} open` : ''}`, TIME, y);
    if (!lasts) return;
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this.paint(), 1_000);
  }

  _entry(context, line, y) {
    const { stage } = this;
    const x = this._x(line.at);
    const name = sourceClass(line.entry.source_id);
    if (line.bar === this.selected) paintRect(context, ink('--chosen'), 0, y - LINE / 2, stage.width, LINE);
    context.fillStyle = ink('--quiet');
    context.textAlign = 'right';
    context.fillText(`+${duration(line.entry.timestamp - this.model.origin)}`, TIME - 12, y);
    context.textAlign = 'left';
    if (line.from !== null) this._arrow(context, this._x(line.from), x, y, line.enters);
    context.fillStyle = ink('--c', name);
    context.beginPath();
    context.arc(x, y, line.enters ? 4 : 3, 0, 7);
    if (line.enters) context.fill();
    context.lineWidth = 1.5;
    context.strokeStyle = ink('--c', name);
    context.stroke();
    this._words(context, line, x, y);
  }

  _words(context, { entry, bar, enters, at, from }, x, y) {
    const failed = bar.failed && (bar.exit === entry || !bar.exit);
    const odd = bar.kind === 'exit';
    const name = visible(entry.endpoint || entry.operation);
    const words = enters ? name : odd ? `exit of ${name}, no entry` : duration(bar.end - bar.start);
    const left = x + (from > at ? 17 : 10); // behind the head of an arrow from the right, which would be read as a sign
    const room = Math.min(this.wide * (at < this.columns.length - 1 ? 1.6 : 0.5), this.stage.width - x) - (left - x) - 4;
    const text = fitText(context, failed ? `✕ ${words}` : words, Math.max(room, 40));
    const alpha = context.globalAlpha;
    if (bar !== this.selected) {
      context.globalAlpha *= 0.85;
      paintRect(context, ink('--ground'), left - 2, y - 7, context.measureText(text).width + 4, 14);
    }
    context.globalAlpha = alpha;
    paintText(context, ink(failed ? '--bad' : odd ? '--warn' : enters ? '--ink' : '--quiet'), text, left, y);
  }

  _arrow(context, from, to, y, enters) {
    const way = to > from ? 1 : -1;
    const style = [ink(enters ? '--arrow' : '--quiet'), enters ? 1.25 : 1];
    context.setLineDash(enters ? [] : [3, 3]);
    paintLine(context, ...style, [from, y], [to - way * 6, y]);
    context.setLineDash([]);
    paintLine(context, ...style, [to - way * 11, y - 3.5], [to - way * 5, y], [to - way * 11, y + 3.5]);
  }
}
