// A row of the table of steps: how often a step was called, and how long it took.

import { h, opens, svg, setText } from './element.js';
import { count, duration, shorten, visible } from './format.js';
import { mark } from './marks.js';
import { link } from './router.js';

export const COLUMNS = [ // key, name, which way it is sorted first
  ['source_id', 'Source', 1], ['endpoint', 'Step', 1], ['calls', 'Calls', -1], ['errors', 'Errors', -1], ['open', 'Open', -1],
  ['p50_ms', 'p50', -1], ['p95_ms', 'p95', -1], ['p99_ms', 'p99', -1], ['max_ms', 'max', -1],
];

export class StepRow {
  // `item(number)`: the step of a row; `scale()`: the durations that the lines span.
  constructor(item, scale) {
    this._item = item;
    this._scale = scale;
    this._line = svg('line', { y1: 8, y2: 8 });
    this._middle = svg('circle', { cy: 8, r: 3 });
    this._far = svg('line', { y1: 4, y2: 12 });
    this._chains = h('a', { class: 'go' });
    this._cells = [...COLUMNS, null].map((_, at) =>
      h('span', { role: 'cell', class: `cell s${at}${at > 1 && at < 9 ? ' number' : ''}` }));
    this._cells[1].append(this._chains);
    this._cells[9].append(svg('svg', { class: 'range', viewBox: '0 0 200 16', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      this._line, this._far, this._middle));
    this.node = h('div', { role: 'row', class: 'row' }, this._cells);
    opens(this.node, this._chains);
  }

  fill(number) {
    const step = this._item(number);
    this._chains.href = link('chains', [], { source: step.source_id });
    this.node.title = `${visible(step.source_id)}  ${visible(step.operation)}  ${visible(step.endpoint)}`;
    this._cells[0].replaceChildren(mark(step.source_id), h('span', { class: 'name' }, shorten(visible(step.source_id), 40)));
    this._chains.replaceChildren(h('span', { class: 'operation' }, visible(step.operation)), ' ', shorten(visible(step.endpoint), 200));
    ['calls', 'errors', 'open'].forEach((key, at) => {
      setText(this._cells[2 + at], step[key] || key === 'calls' ? count(step[key]) : '');
      this._cells[2 + at].classList.toggle('bad', at > 0 && step[key] > 0);
    });
    ['p50_ms', 'p95_ms', 'p99_ms', 'max_ms'].forEach((key, at) =>
      setText(this._cells[5 + at], step[key] === null ? '–' : duration(step[key])));
    this._draw(step);
  }

  _draw(step) {
    const { low, high } = this._scale();
    const x = (ms) => 6 + 188 * (Math.log(Math.max(ms, low) / low) / Math.log(Math.max(high / low, 1.001)));
    const none = step.p50_ms === null;
    for (const part of [this._line, this._middle, this._far]) part.setAttribute('visibility', none ? 'hidden' : 'visible');
    if (none) return;
    this._line.setAttribute('x1', x(step.p50_ms));
    this._line.setAttribute('x2', x(step.p99_ms));
    this._middle.setAttribute('cx', x(step.p50_ms));
    this._far.setAttribute('x1', x(step.p95_ms));
    this._far.setAttribute('x2', x(step.p95_ms));
  }
}
