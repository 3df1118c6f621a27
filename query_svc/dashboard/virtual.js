// Rows of one height, of which only those in sight exist. A row's number never changes, so a node keeps its row while the
// list moves. Nodes stand in the order of their rows, for who goes through them one by one.

import { h, eachFrame } from './element.js';

const SPARE = 4; // rows beyond the edge, so that scrolling never shows a hole

export class VirtualRows {
  // `make()` gives an empty row {node, fill(number)}; `head` stays in sight above the rows.
  constructor({ make, head, label, name }) {
    this.first = 0; // number of the first row that is kept
    this.end = 0; // number behind the last
    this.fills = 0; // rows that were put on the screen so far
    this.height = 28;
    this.onscroll = () => {};
    this._make = make;
    this._pool = [];
    this._head = head;
    this._space = h('div', { class: 'virtual', role: 'rowgroup' });
    this._table = h('div', { class: `table ${name}`, role: 'table', 'aria-label': label }, head, this._space);
    this.node = h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': label }, this._table);
    this.paint = eachFrame(() => this._paint());
    this._top = 0; // where the list was last put, to tell who scrolled
    this.node.addEventListener('scroll', () => {
      const up = this.node.scrollTop < this._top - 1 && !this.atEnd; // a list that grew taller is moved by itself
      this._top = this.node.scrollTop;
      this.onscroll(up);
      this.paint();
    }, { passive: true });
    this._watch = new ResizeObserver(() => this._measure());
    this._watch.observe(this.node);
  }

  get visible() { return Math.max(1, Math.ceil((this.node.clientHeight - this._head.offsetHeight) / this.height)); }

  get atEnd() { return this.node.scrollTop + this.node.clientHeight >= this.node.scrollHeight - this.height; }

  // The number of the row behind the last one in sight.
  get below() { return this.first + Math.ceil((this.node.scrollTop + this.node.clientHeight - this._head.offsetHeight) / this.height); }

  // The row that has the focus.
  get chosen() {
    const has = document.activeElement;
    return this._space.contains(has) ? this._pool.find((row) => row.node.contains(has)) : undefined;
  }

  toEnd() {
    this._size();
    this._scroll(this.node.scrollHeight);
    this.paint();
  }

  // Forget the rows before a number; those in sight stay where they are.
  drop(number) {
    const gone = number - this.first;
    this.first = number;
    const top = this.node.scrollTop;
    this._size();
    this._scroll(Math.max(0, top - gone * this.height));
    this.paint();
  }

  reset() {
    this.first = this.end = 0;
    this.again();
    this._scroll(0);
  }

  // Fill every row anew.
  again() {
    for (const row of this._pool) row.stale = true;
    this._size();
    this.paint();
  }

  nodeOf(number) {
    this.node.scrollIntoView({ block: 'nearest' });
    this.reveal(number);
    this._paint();
    const { node } = this._pool[number % this._pool.length];
    return node.querySelector('a[href]') ?? node;
  }

  reveal(number) {
    const top = (number - this.first) * this.height;
    const room = this.node.clientHeight - this._head.offsetHeight;
    if (top < this.node.scrollTop) this.node.scrollTop = top;
    else if (top + this.height > this.node.scrollTop + room) this.node.scrollTop = top + this.height - room;
  }

  // Move the focus by so many rows; where nothing has it, the first or last one in sight gets it.
  step(by) {
    if (this.end === this.first) return;
    const at = this.chosen?.number;
    const start = by > 0 ? this.first + Math.ceil(this.node.scrollTop / this.height) : this.below - 1;
    const number = Math.max(this.first, Math.min(this.end - 1, at >= this.first ? at + by : start));
    this.nodeOf(number).focus({ preventScroll: true });
  }

  _scroll(top) {
    this.node.scrollTop = top;
    this._top = this.node.scrollTop;
  }

  dispose() { this._watch.disconnect(); }

  _measure() {
    const probe = this._make();
    probe.node.style.visibility = 'hidden';
    this._space.append(probe.node);
    this.height = probe.node.offsetHeight || this.height;
    probe.node.remove();
    const stay = this.atEnd;
    this._size();
    if (stay && this.sticky) this.toEnd();
    this.paint();
  }

  _size() {
    const height = `${(this.end - this.first) * this.height}px`;
    if (this._space.style.height === height) return;
    this._space.style.height = height;
    this._table.ariaRowCount = this.end + 1;
  }

  _paint() {
    if (!this.node.isConnected || !this.node.clientHeight) return;
    this._size();
    const from = Math.max(this.first, this.first + Math.floor(this.node.scrollTop / this.height) - SPARE);
    const until = Math.min(this.end, from + this.visible + 2 * SPARE);
    const room = this.visible + 2 * SPARE;
    if (this._pool.length < room) this._grow(room);
    for (const row of this._pool) row.wanted = false;
    let above = null;
    for (let number = from; number < until; number += 1) {
      const row = this._pool[number % this._pool.length];
      row.wanted = true;
      if (row.number !== number) {
        this._letGo(row);
        row.number = number;
        row.stale = true;
        if (above) above.after(row.node);
        else this._space.prepend(row.node);
      }
      if (row.stale) this._fill(row);
      row.node.style.transform = `translateY(${(number - this.first) * this.height}px)`;
      row.node.hidden = false;
      above = row.node;
    }
    for (const row of this._pool) if (!row.wanted) this._put(row);
  }

  _fill(row) {
    row.stale = false;
    row.fill(row.number);
    row.node.ariaRowIndex = row.number + 2;
    this.fills += 1;
  }

  _put(row) {
    this._letGo(row);
    row.node.hidden = true;
    row.number = -1;
  }

  // The focus was on a row, not on the node that will show another one.
  _letGo(row) {
    if (row.node.contains(document.activeElement)) this.node.focus({ preventScroll: true });
  }

  _grow(room) {
    for (const row of this._pool) this._put(row);
    while (this._pool.length < room) {
      const row = this._make();
      row.number = -1;
      this._pool.push(row);
      this._space.append(row.node);
    }
  }
}
