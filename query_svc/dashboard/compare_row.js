// A row of a comparison: a step in both chains, or in one, and what it took in each.

import { h, opens, setText } from './element.js';
import { duration, shorten, visible } from './format.js';
import { first } from './pairing.js';
import { chainLink } from './router.js';
import { sourceClass } from './theme.js';

const NONE_MS = 0.01;
const DEEP = 12; // levels that are set in

export class CompareRow {
  // `item(number)`: the pair of steps of a row; `longest`: ms that a bar of the whole width stands for.
  constructor(item, longest, ids) {
    this._item = item;
    this._longest = longest;
    this._ids = ids;
    const [step, left, right, difference] = [0, 1, 2, 3].map((at) => h('span', { role: 'cell', class: `cell d${at}` }));
    this._step = step;
    this._mark = h('span');
    this._operation = h('span', { class: 'operation' });
    this._name = h('a', { class: 'name go' });
    this._sides = [left, right].map((cell) => makeSide(cell));
    this._difference = difference;
    this._words = h('span');
    step.append(this._mark, this._operation, this._name);
    difference.append(this._words);
    this.node = h('div', { role: 'row', class: 'row' }, step, left, right, difference);
    opens(this.node, this._name);
  }

  fill(number) {
    const pair = this._item(number);
    const either = pair.a ?? pair.b;
    const entry = first(either);
    const source = visible(entry.source_id);
    this.node.className = `row ${pair.kind === 'both' ? '' : `only-${pair.kind}`}`;
    this._name.href = chainLink(pair.a ? this._ids[0] : this._ids[1]);
    this._step.style.paddingInlineStart = `${12 + 14 * Math.min(DEEP, either.depth)}px`;
    this._step.title = `${source}  ${visible(entry.operation)}  ${visible(entry.endpoint)}`;
    this._mark.className = `mark ${sourceClass(entry.source_id)}`;
    setText(this._mark, shorten(source, 24));
    setText(this._operation, visible(entry.operation));
    setText(this._name, visible(shorten(entry.endpoint, 200)));
    this._sides.forEach((side, at) => showSide(side, at ? pair.b : pair.a, this._longest, entry.source_id));
    this._difference.className = `cell d3 number ${pair.large ? (pair.by < 0 ? 'faster' : 'slower') : 'small'}`;
    setText(this._words, wordsOf(pair));
  }
}

function wordsOf({ a, b, kind, by, large }) {
  if (kind !== 'both') return kind === 'a' ? 'missing in B' : 'only in B';
  if (a.kind === 'pair' && b.kind === 'pair') {
    return Math.abs(by) < NONE_MS ? '=' : `${by > 0 ? '+' : ''}${duration(by)}${large ? ratio(a, b) : ''}`;
  }
  if (a.kind === b.kind) return '';
  return a.kind === 'open' ? 'open in A' : b.kind === 'open' ? 'open in B' : 'its entry is missing';
}

function ratio(a, b) {
  const times = (b.end - b.start) / (a.end - a.start);
  if (!Number.isFinite(times) || times <= 0 || (times > 0.67 && times < 1.5)) return '';
  return `  ×${times >= 10 ? Math.round(times) : times.toFixed(times < 1 ? 2 : 1)}`;
}

function makeSide(cell) {
  const bar = h('span', { class: 'bar-of' });
  const words = h('span', { class: 'number' });
  cell.append(h('span', { class: 'track' }, bar), words);
  return { cell, bar, words };
}

function showSide({ cell, bar, words }, step, longest, source) {
  cell.classList.toggle('absent', !step);
  bar.hidden = !step;
  if (!step) {
    setText(words, '–');
    return;
  }
  setText(words, { pair: duration(step.end - step.start), open: 'open', exit: 'exit only' }[step.kind]);
  const end = step.kind === 'open' ? longest : step.end;
  bar.className = `bar-of ${sourceClass(source)} ${step.kind}${step.failed ? ' failed' : ''}`;
  bar.style.left = `${(100 * step.start) / longest}%`;
  bar.style.width = `${Math.max(0, (100 * (end - step.start)) / longest)}%`;
}
