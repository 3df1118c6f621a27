// What a pointer does to a timeline.

import { setText } from './element.js';
import { itselfOf, took } from './details.js';
import { clock, duration, utc, visible } from './format.js';
import { first } from './pairing.js';
import { AXIS } from './stage.js';

const CLICK_PX = 4;

export class Gestures {
  constructor(view) {
    this._view = view;
    this._node = view.stage.node;
    this._fingers = new Map(); // that touch, or a pointer that is pressed -> where
    this._drag = null; // from where, unless there are several fingers
    const on = (name, act, options) => this._node.addEventListener(name, (event) => act.call(this, event, ...this._place(event)), options);
    on('wheel', this._turned, { passive: false });
    on('pointerdown', this._pressed);
    on('pointermove', this._moved);
    on('pointerup', this._released);
    on('pointercancel', this._letGo);
    on('pointerleave', this._hide);
    on('dblclick', this._clickedTwice);
    handleMap(view);
  }

  _place(event) {
    const box = this._node.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  _at(x) {
    return this._view.span.at(x - this._view.gutter);
  }

  _turned(event, x) {
    const view = this._view;
    if (event.ctrlKey || event.metaKey || event.altKey) {
      event.preventDefault();
      view.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 200))), this._at(x));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      view.pan((event.deltaX || event.deltaY) / view.span.width);
    }
  }

  _pressed(event, x, y) {
    if (event.button || x > this._node.clientWidth) return; // the scroll bar
    this._fingers.set(event.pointerId, x);
    this._node.setPointerCapture(event.pointerId);
    this._drag = null;
    if (this._fingers.size > 1) return; // they zoom, and select nothing
    const view = this._view;
    const measure = event.shiftKey || view.measuring || y < AXIS;
    this._drag = { x, y, top: view.stage.top, start: view.span.start, moved: false, measure, at: this._at(x) };
    if (measure) view.ruler = null;
  }

  _moved(event, x, y) {
    if (!this._fingers.has(event.pointerId)) this._hover(x, y);
    else if (this._fingers.size === 2) this._pinch(event.pointerId, x);
    else if (this._drag) this._pull(this._drag, x, y);
  }

  _pull(drag, x, y) {
    const view = this._view;
    drag.moved ||= Math.hypot(x - drag.x, y - drag.y) > CLICK_PX;
    if (!drag.moved) return;
    this._hide();
    if (drag.measure) {
      view.ruler = { from: drag.at, to: this._at(x) };
      view.tell();
      view.paint();
      return;
    }
    this._node.scrollTop = drag.top - (y - drag.y);
    view.pan((drag.start - ((x - drag.x) / view.span.width) * view.span.length - view.span.start) / view.span.length);
  }

  _pinch(id, x) {
    const [other] = [...this._fingers].filter(([each]) => each !== id).map(([, at]) => at);
    const before = Math.abs(this._fingers.get(id) - other);
    this._fingers.set(id, x);
    const after = Math.abs(x - other);
    if (before > 8 && after > 8) this._view.zoom(before / after, this._at((x + other) / 2));
  }

  _released(event, x, y) {
    if (this._drag && !this._drag.moved) {
      this._view.select(this._view.barAt(x, y));
      this._view.ruler = null;
      this._view.paint();
    }
    this._letGo(event);
  }

  _letGo(event) {
    this._fingers.delete(event.pointerId);
    this._drag = null;
  }

  _clickedTwice(event, x, y) {
    const bar = this._view.barAt(x, y);
    if (bar) this._view.focusOn(bar);
    else this._view.fit();
  }

  _hover(x, y) {
    const view = this._view;
    const bar = view.barAt(x, y);
    if (bar !== view.hovered) {
      view.hovered = bar;
      view.paint();
    }
    this._node.style.cursor = bar ? 'pointer' : view.measuring || y < AXIS ? 'crosshair' : '';
    if (bar) this._showTip(bar, x, y);
    else this._hide();
  }

  _showTip(bar, x, y) {
    const { tip, node, model, end } = this._view;
    const entry = first(bar);
    const at = model.origin + bar.start;
    const itself = itselfOf(bar);
    setText(tip, [
      `${visible(entry.source_id)}  ${visible(entry.operation)}  ${visible(entry.endpoint)}`,
      `${took(bar, end)}, from +${duration(bar.start)}${itself && `, ${itself}`}`, `${clock(at)}  ·  ${utc(at)}`,
    ].join('\n'));
    tip.hidden = false;
    const box = node.getBoundingClientRect();
    const below = y + this._node.getBoundingClientRect().top - box.top + 18;
    tip.style.left = `${Math.max(4, Math.min(x + 12, box.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${below + tip.offsetHeight > box.height ? below - tip.offsetHeight - 30 : below}px`;
  }

  _hide() {
    const view = this._view;
    view.tip.hidden = true;
    if (!view.hovered) return;
    view.hovered = null;
    view.paint();
  }
}

// The small picture of the whole: the frame in it is dragged, or comes to where somebody presses.
function handleMap(view) {
  const node = view.map.node;
  let grip = null; // by which share of its length the frame is held
  const share = (event) => {
    const x = event.clientX - node.getBoundingClientRect().left - view.gutter;
    return ((x / (node.clientWidth - view.gutter - 8)) * view.mapEnd - view.span.start) / view.span.length;
  };
  const move = (event) => { if (grip !== null) view.pan(share(event) - grip); };
  const letGo = () => { grip = null; };
  node.addEventListener('pointerdown', (event) => {
    if (event.button) return;
    node.setPointerCapture(event.pointerId);
    const at = share(event);
    grip = at > 0 && at < 1 ? at : 0.5;
    move(event);
  });
  node.addEventListener('pointermove', move);
  node.addEventListener('pointerup', letGo);
  node.addEventListener('pointercancel', letGo);
}
