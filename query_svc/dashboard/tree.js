// The data of an entry as a tree that folds. Built level by level, when it is opened; long lists by the hundred.

import { h, button, setText } from './element.js';
import { digits } from './exact.js';
import { count, visible } from './format.js';

const AT_ONCE = 100;
const OPEN_LEVELS = 3;
const LONG = 2_000; // letters of one text that are shown before it is asked for

export function tree(value, level = 0) {
  if (value === null || typeof value !== 'object') return leaf(value);
  if (digits(value)) return h('span', { class: 'leaf number' }, digits(value));
  const pairs = Object.entries(value);
  const list = Array.isArray(value);
  if (!pairs.length) return h('span', { class: 'leaf' }, list ? '[]' : '{}');
  const next = h('li', button('', 'Show more', () => more(), { class: 'small' }));
  const body = h('ul', next);
  let from = 0;
  const more = () => {
    next.before(...pairs.slice(from, from += AT_ONCE).map(([key, each]) => h('li',
      h('span', { class: 'key' }, visible(key)), ' ', tree(each, level + 1))));
    next.hidden = from >= pairs.length;
    setText(next.firstChild, `${count(pairs.length - from)} more …`);
  };
  const node = h('details', { open: level < OPEN_LEVELS && pairs.length <= AT_ONCE },
    h('summary', list ? `[${pairs.length}]` : `{${pairs.length}}`), body);
  let built = false;
  const build = () => { if (node.open && !built) { built = true; more(); } };
  node.addEventListener('toggle', build);
  build();
  return node;
}

function leaf(value) {
  const text = typeof value === 'string' ? visible(value) : String(value);
  if (text.length <= LONG) return h('span', { class: `leaf ${value === null ? 'null' : typeof value}` }, text);
  const node = h('span', { class: 'leaf string' }, `${text.slice(0, LONG)}… `);
  node.append(button('show all', 'Show the whole text', () => { node.textContent = text; }, { class: 'small' }));
  return node;
}
