// The table of steps: all or those like what is searched, sorted by a column.

import { button, searchField, tableHead } from './element.js';
import { stepOf } from './pairing.js';
import { link, remember } from './router.js';
import { COLUMNS, StepRow } from './step_row.js';
import { VirtualRows } from './virtual.js';

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
    this._arrange(still ? new Map(this._shown.map((step, at) => [stepOf(step), at])) : new Map());
  }

  _sort(key, way) {
    this._way = this._wanted.sort === key ? -this._way : way;
    this._wanted.sort = key;
    this._arrange();
  }

  _arrange(places = new Map()) {
    const { q, sort } = this._wanted;
    remember(link('sources', [], { q, sort: sort === 'calls' ? '' : sort }));
    this._shown = this._all.filter((step) => `${step.source_id} ${nameOf(step)}`.toLowerCase().includes(q.toLowerCase()));
    const value = (step) => (sort === 'endpoint' ? nameOf(step) : step[sort] ?? -1);
    const place = (step) => places.get(stepOf(step)) ?? Infinity;
    this._shown.sort((a, b) => place(a) - place(b) || this._way * (value(a) > value(b) ? 1 : value(a) < value(b) ? -1 : 0));
    const ends = this._shown.flatMap((step) => [step.p50_ms, step.p99_ms]).filter((ms) => ms > 0);
    this._scale = { low: Math.min(...ends, 1), high: Math.max(...ends, 1) };
    this._sorters.forEach(({ parentNode: header }, at) => {
      const sorted = COLUMNS[at][0] === sort;
      header.setAttribute('aria-sort', sorted ? (this._way > 0 ? 'ascending' : 'descending') : 'none');
    });
    this.rows.end = this._shown.length;
    this.rows.again();
  }
}

function nameOf(step) {
  return `${step.operation} ${step.endpoint}`;
}
