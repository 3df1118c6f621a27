// The window of time that a timeline shows: zoom, pan, ticks. Pure.

const LEAST_MS = 0.002;

export class Span {
  constructor() {
    this.start = 0;
    this.end = 1;
    this.width = 1;
  }

  x(at) { return ((at - this.start) / (this.end - this.start)) * this.width; }

  at(x) { return this.start + (x / this.width) * (this.end - this.start); }

  get length() { return this.end - this.start; }

  set(start, end) {
    this.start = start;
    this.end = Math.max(end, start + LEAST_MS);
  }

  zoom(factor, around, most) {
    const length = Math.max(LEAST_MS, Math.min(this.length * factor, most));
    const share = (around - this.start) / this.length;
    this.set(around - share * length, around + (1 - share) * length);
  }

  pan(by) {
    this.start += by;
    this.end += by;
  }

  // Keep something of what there is in sight.
  clamp(from, to) {
    const edge = this.length * 0.9;
    if (this.start > to - this.length + edge) this.pan(to - this.length + edge - this.start);
    if (this.end < from + this.length - edge) this.pan(from + this.length - edge - this.end);
  }

  // Round places for marks, so many pixels apart at least.
  ticks(apart) {
    const rough = (this.length * apart) / this.width;
    const power = 10 ** Math.floor(Math.log10(rough));
    let step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough) ?? rough;
    if (step >= 1_000) step = [1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5].find((each) => each >= rough) ?? Math.ceil(rough / 864e5) * 864e5;
    const marks = [];
    const least = Math.ceil(this.start / step) * step;
    for (let at = least; at <= this.end; at = least + marks.length * step) marks.push(at); // a small step would not move a large number
    return { step, marks };
  }
}

// A mark's words, as exact as the marks are close.
export function offset(ms, step) {
  const sign = ms < 0 ? '−' : '';
  const value = Math.abs(ms);
  const digits = (unit) => Math.max(0, Math.min(6, Math.ceil(-Math.log10(step / unit) - 1e-9)));
  if (value < step / 1e6) return '0';
  if (step < 0.1 && value < 10) return `${sign}${(value * 1000).toFixed(digits(0.001))} µs`;
  if (value < 1_000) return `${sign}${value.toFixed(digits(1))} ms`;
  if (value < 60_000) return `${sign}${(value / 1_000).toFixed(digits(1_000))} s`;
  const seconds = (value % 60_000) / 1_000;
  const minutes = Math.floor(value / 60_000);
  const clock = `${String(Math.floor(minutes % 60)).padStart(2, '0')}:${seconds.toFixed(digits(1_000)).padStart(digits(1_000) ? 3 + digits(1_000) : 2, '0')}`;
  return `${sign}${minutes >= 60 ? `${Math.floor(minutes / 60)}:` : ''}${clock}`;
}
