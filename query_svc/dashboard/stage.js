// A canvas that stays in sight while its contents scroll: painted at most once a frame, sharp on any screen.

import { h, eachFrame } from './element.js';

export class Stage {
  // Without a label it is a pointer's alone.
  constructor(label, paint) {
    this.canvas = h('canvas', { 'aria-hidden': 'true' });
    this.space = h('div', this.canvas);
    const reached = label ? { tabindex: 0, role: 'application', 'aria-label': label } : { 'aria-hidden': 'true' };
    this.node = h('div', { class: 'stage', ...reached }, this.space);
    this.width = this.height = 0;
    this._paintNow = () => {
      if (!this.width || !this.node.isConnected) return;
      const context = this.canvas.getContext('2d', { alpha: false });
      context.setTransform(this._ratio, 0, 0, this._ratio, 0, 0);
      paint(context);
    };
    this.paint = eachFrame(this._paintNow);
    this.node.addEventListener('scroll', this.paint, { passive: true });
    this._watch = new ResizeObserver(() => this._fit());
    this._watch.observe(this.node);
  }

  contain(width, height) {
    this.space.style.height = `${Math.max(height, this.height)}px`;
    this.space.style.width = width ? `${Math.max(width, this.width)}px` : '100%';
  }

  get top() { return this.node.scrollTop; }

  get left() { return this.node.scrollLeft; }

  reveal(top, bottom, margin) {
    if (top < this.top + margin) this.node.scrollTop = top - margin;
    else if (bottom > this.top + this.height) this.node.scrollTop = bottom - this.height;
  }

  dispose() { this._watch.disconnect(); }

  _fit() {
    const { clientWidth, clientHeight } = this.node;
    const appears = !this.width;
    this._ratio = devicePixelRatio || 1;
    this.width = clientWidth;
    this.height = clientHeight;
    this.canvas.width = Math.round(clientWidth * this._ratio);
    this.canvas.height = Math.round(clientHeight * this._ratio);
    this.canvas.style.width = `${clientWidth}px`;
    this.canvas.style.height = `${clientHeight}px`;
    this.onfit?.(appears);
    this._paintNow(); // a canvas of a new size is black
  }
}

export const ROW = 20; // of a timeline, from bar to bar
export const AXIS = 26; // the height of what stands above the rows
export const FOOT = 20; // and below
export const FONT = `11px ${getComputedStyle(document.body).fontFamily}`;
const WIDE = new Map();

export function paintRect(context, colour, x, y, width, height) {
  context.fillStyle = colour;
  context.fillRect(x, y, width, height);
}

// A line through places, each [x, y].
export function paintLine(context, colour, width, start, ...places) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(...start);
  for (const place of places) context.lineTo(...place);
  context.stroke();
}

export function paintText(context, colour, text, x, y) {
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

// Text cut to a width, without asking the canvas for each letter.
export function fitText(context, text, width) {
  if (width < 12) return '';
  const measured = WIDE.get(text) ?? measure(context, text);
  if (measured <= width) return text;
  const keep = Math.floor((text.length * width) / measured) - 1;
  return keep < 2 ? '' : `${text.slice(0, keep).replace(/[\ud800-\udbff]$/, '')}…`;
}

function measure(context, text) {
  if (WIDE.size > 5_000) WIDE.clear();
  const width = context.measureText(text).width;
  WIDE.set(text, width);
  return width;
}
