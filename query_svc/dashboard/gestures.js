// What a pointer does to a timeline: drag pans, with Shift or the ruler it measures, the wheel with Ctrl zooms,
// two fingers pinch, a click selects, a second one zooms to the bar.

import { setText } from './element.js';
import { took } from './details.js';
import { clock, duration, utc, visible } from './format.js';
import { first, lengthOf } from './pairing.js';
import { AXIS } from './stage.js';

const CLICK_PX = 4;

export function handle(view) {
  const node = view.stage.node;
  const fingers = new Map();
  let drag = null;
  const place = (event) => {
    const box = node.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  node.addEventListener('wheel', (event) => {
    const [x] = place(event);
    if (event.ctrlKey || event.metaKey || event.altKey) {
      event.preventDefault();
      view.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 200))), view.span.at(x - view.gutter));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      view.pan((event.deltaX || event.deltaY) / view.span.width);
    }
  }, { passive: false });

  node.addEventListener('pointerdown', (event) => {
    if (event.button) return;
    const [x, y] = place(event);
    if (x > node.clientWidth) return; // the scroll bar
    fingers.set(event.pointerId, x);
    node.setPointerCapture(event.pointerId);
    drag = null;
    if (fingers.size > 1) return; // they zoom, and select nothing
    const measure = event.shiftKey || view.measuring || y < AXIS;
    drag = { x, y, top: view.stage.top, start: view.span.start, moved: false, measure, at: view.span.at(x - view.gutter) };
    if (measure) view.ruler = null;
  });

  node.addEventListener('pointermove', (event) => {
    const [x, y] = place(event);
    if (!fingers.has(event.pointerId)) return hover(view, x, y);
    if (fingers.size === 2) return pinch(view, fingers, event.pointerId, x);
    if (!drag) return undefined;
    if (Math.hypot(x - drag.x, y - drag.y) > CLICK_PX) drag.moved = true;
    if (!drag.moved) return undefined;
    hide(view);
    if (drag.measure) {
      view.ruler = { from: drag.at, to: view.span.at(x - view.gutter) };
      view.tell();
      return view.paint();
    }
    view.stage.node.scrollTop = drag.top - (y - drag.y);
    return view.pan((drag.start - ((x - drag.x) / view.span.width) * view.span.length - view.span.start) / view.span.length);
  });

  const end = (event) => {
    const [x, y] = place(event);
    fingers.delete(event.pointerId);
    if (drag && !drag.moved && event.type === 'pointerup') {
      view.select(view.barAt(x, y));
      view.ruler = null;
      view.paint();
    }
    drag = null;
  };
  node.addEventListener('pointerup', end);
  node.addEventListener('pointercancel', end);
  node.addEventListener('pointerleave', () => hide(view));
  node.addEventListener('dblclick', (event) => {
    const bar = view.barAt(...place(event));
    if (bar) view.focusOn(bar);
    else view.fit();
  });
  handleMap(view);
}

function pinch(view, fingers, id, x) {
  const [other] = [...fingers].filter(([each]) => each !== id).map(([, at]) => at);
  const before = Math.abs(fingers.get(id) - other);
  fingers.set(id, x);
  const after = Math.abs(x - other);
  if (before > 8 && after > 8) view.zoom(before / after, view.span.at((x + other) / 2 - view.gutter));
}

function hover(view, x, y) {
  const bar = view.barAt(x, y);
  if (bar !== view.hovered) {
    view.hovered = bar;
    view.paint();
  }
  view.stage.node.style.cursor = bar ? 'pointer' : view.measuring || y < AXIS ? 'crosshair' : '';
  if (!bar) return hide(view);
  const entry = first(bar);
  const at = view.model.origin + bar.start;
  setText(view.tip, `${visible(entry.source_id)}  ${visible(entry.operation)}  ${visible(entry.endpoint)}\n${took(bar, view.end)}, from +${duration(bar.start)}${
    bar.kind === 'pair' && bar.self < lengthOf(bar, 0) * 0.995 ? `, itself ${duration(Math.max(0, bar.self))}` : ''}\n${clock(at)}  ·  ${utc(at)}`);
  view.tip.hidden = false;
  const box = view.node.getBoundingClientRect();
  const stage = view.stage.node.getBoundingClientRect();
  const left = Math.min(x + 12, box.width - view.tip.offsetWidth - 4);
  const below = y + stage.top - box.top + 18;
  view.tip.style.left = `${Math.max(4, left)}px`;
  view.tip.style.top = `${below + view.tip.offsetHeight > box.height ? below - view.tip.offsetHeight - 30 : below}px`;
  return undefined;
}

function hide(view) {
  view.tip.hidden = true;
  if (view.hovered) {
    view.hovered = null;
    view.paint();
  }
}

function handleMap(view) {
  const node = view.map.node;
  let grip = null;
  const move = (event) => {
    if (grip === null) return;
    const x = event.clientX - node.getBoundingClientRect().left - view.gutter;
    const at = (x / (node.clientWidth - view.gutter - 8)) * view.mapEnd;
    view.pan((at - view.span.length * grip - view.span.start) / view.span.length);
  };
  node.addEventListener('pointerdown', (event) => {
    node.setPointerCapture(event.pointerId);
    const x = event.clientX - node.getBoundingClientRect().left - view.gutter;
    const at = (x / (node.clientWidth - view.gutter - 8)) * view.mapEnd;
    const share = (at - view.span.start) / view.span.length;
    grip = share > 0 && share < 1 ? share : 0.5;
    move(event);
  });
  node.addEventListener('pointermove', move);
  node.addEventListener('pointerup', () => { grip = null; });
  node.addEventListener('pointercancel', () => { grip = null; });
}
