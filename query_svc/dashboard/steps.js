// The table of steps: all or those like what is searched, sorted by a column; how often each was called, how long it took.

import { h, button, opens, searchField, setText, svg, tableHead } from './element.js';
import { count, duration, shorten, visible } from './format.js';
import { mark } from './marks.js';
import { stepOf } from './pairing.js';
import { link, remember } from './router.js';
import { VirtualRows } from './virtual.js';

const COLUMNS = [ // key, name, which way it is sorted first
  ['source_id', 'Source', 1], ['endpoint', 'Step', 1], ['calls', 'Calls', -1], ['errors', 'Errors', -1], ['open', 'Open', -1],
  ['p50_ms', 'p50', -1], ['p95_ms', 'p95', -1], ['p99_ms', 'p99', -1], ['max_ms', 'max', -1],
];

export class Steps {
  // `wanted`: {q, sort}, as the address has them.
  constructor(wanted) {
    this._wanted = wanted;
    this._way = COLUMNS.find(([key]) => key === wanted.sort)?.[2] ?? -1; // 1: ascending
    this._all = [];
    this._shown = [];
    this._scale = { low: 0.1, high: 1 };
    this._sorters = COLUMNS.map(([key, name, way]) =>
      button(name, `Sort by ${name}`, () => this._sort(key, way), { class: 'sort' }));
    this.rows = new VirtualRows({
      make: () => new StepRow((number) => this._shown[number], () => this._scale),
      head: tableHead([...this._sorters, 'p50 ─ p99'], 's'), label: 'Durations of steps', name: 'steps',
    });
    this.search = searchField({
      placeholder: 'Part of a source or step   /', 'aria-label': 'Part of a source, operation or endpoint', class: 'grow',
    });
    this.search.value = wanted.q;
    this.search.oninput = () => { wanted.q = this.search.value.trim(); this._arrange(); };
  }

  // What somebody points at, or has in focus, stays where it is.
  show(steps) {
    this._all = steps;
    const still = Boolean(this.rows.chosen) || this.rows.node.matches(':hover');
    this._arrange(new Map(still ? this._shown.map((step, at) => [stepOf(step), at]) : []));
  }

  _sort(key, way) {
    this._way = this._wanted.sort === key ? -this._way : way;
    this._wanted.sort = key;
    this._arrange();
  }

  // Without places somebody asked, and the address tells.
  _arrange(places) {
    const { q, sort } = this._wanted;
    if (!places) remember(link('sources', [], { q, sort: sort === 'calls' ? '' : sort }));
    this._shown = this._all.filter((step) => `${step.source_id} ${nameOf(step)}`.toLowerCase().includes(q.toLowerCase()));
    const value = (step) => (sort === 'endpoint' ? nameOf(step) : step[sort] ?? -1);
    const place = (step) => places?.get(stepOf(step)) ?? Infinity;
    this._shown.sort((a, b) => place(a) - place(b) || this._way * (value(a) > value(b) ? 1 : value(a) < value(b) ? -1 : 0));
    const ends = this._shown.flatMap((step) => [step.p50_ms, step.p99_ms]).filter((ms) => ms > 0);
    this._scale = { low: Math.min(...ends, 1), high: Math.max(...ends, 1) };
    this._sorters.forEach(({ parentNode: header }, at) => {
      const sorted = COLUMNS[at][0] === sort;
      header.ariaSort = sorted ? (this._way > 0 ? 'ascending' : 'descending') : 'none';
    });
    this.rows.end = this._shown.length;
    this.rows.again();
  }
}

function nameOf(step) {
  return `${step.operation} ${step.endpoint}`;
}

class StepRow {
  // `item(number)`: the step of a row; `scale()`: the durations that the line in it spans.
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
