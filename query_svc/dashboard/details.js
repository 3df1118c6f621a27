// What is known of one step. While more comes, what is unfolded, marked or has the focus in it stays.

import { h, button, renew, setText } from './element.js';
import { digits } from './api.js';
import { count, duration, shorten, visible } from './format.js';
import { copyButton, mark, moment } from './marks.js';
import { first, lengthOf, reportsError } from './pairing.js';

const AT_ONCE = 100;
const OPEN_LEVELS = 3;
const LONG = 2_000; // letters of one text that are shown before it is asked for

export function details({ choose, close }) {
  const source = h('span');
  const title = h('h2', { tabindex: 0 }); // it may be long, and scrolls
  const lasts = h('p');
  const within = h('p', { class: 'within' });
  const [entry, exit] = [makeSide('Entry'), makeSide('Exit')];
  const node = h('aside', { class: 'details', 'aria-label': 'The selected step', tabindex: -1 },
    h('div', { class: 'details-head' }, source, button('×', 'Close (Esc)', close, { class: 'plain', 'aria-label': 'Close' })),
    title, lasts, within, entry.node, exit.node);
  let shown = null;

  return {
    node,
    show(bar, origin, end) {
      const step = first(bar);
      const begins = { pair: 'took ', open: 'still ', exit: '' }[bar.kind];
      if (step !== shown) node.scrollTop = 0;
      shown = step;
      source.replaceChildren(mark(step.source_id, false));
      renew(title, h('h2', h('span', { class: 'operation' }, visible(step.operation)), ' ', visible(step.endpoint)));
      lasts.className = `took ${bar.kind}`;
      const itself = itselfOf(bar);
      renew(lasts, h('p', h('strong', begins + took(bar, end)), itself && ` of which ${itself}`));
      within.hidden = !bar.parent;
      if (bar.parent) {
        const around = first(bar.parent);
        renew(within, h('p', 'within ', button(`${shorten(visible(around.source_id), 40)} ${shorten(visible(around.endpoint), 80)}`,
          'Go to the enclosing step', () => { choose(bar.parent); node.focus(); }, { class: 'link' })));
      }
      entry.show(bar.entry, origin, false);
      exit.show(bar.exit, origin, bar.kind === 'open');
    },
  };
}

// How long a step took, in words.
export function took(bar, end) {
  if (bar.kind === 'exit') return 'an exit without its entry';
  const early = bar.kind === 'pair' && bar.entry.timestamp - bar.exit.timestamp;
  if (early > 0) return `0 ms: its exit is dated ${duration(early)} before its entry`; // clocks of two hosts
  return `${bar.kind === 'open' ? 'open for ' : ''}${duration(lengthOf(bar, end))}`;
}

// What of it no inner step covers, where some do.
export function itselfOf(bar) {
  return bar.kind === 'pair' && bar.self < lengthOf(bar, 0) * 0.999 ? `itself ${duration(Math.max(0, bar.self))}` : '';
}

function makeSide(name) {
  const node = h('section', { class: 'side' });
  const offset = h('span');
  let shown;
  return {
    node,
    show(entry, origin, open) {
      if (entry) setText(offset, `+${duration(entry.timestamp - origin)}  `);
      if (entry && entry === shown) return;
      shown = entry;
      node.replaceChildren(...(entry ? known(name, entry, offset) : [h('h3', name),
        h('p', { class: 'missing' }, open ? 'has not arrived' : 'was never recorded, or has expired')]));
    },
  };
}

function known(name, entry, offset) {
  const hasData = entry.data !== null && entry.data !== undefined;
  return [
    h('h3', `${name} `, reportsError(entry) ? h('span', { class: 'badge' }, 'error') : null),
    h('dl',
      row('at', h('span', offset, moment(entry.timestamp))),
      row('host', visible(entry.hostname)),
      row('suffix', visible(entry.suffix))),
    h('div', { class: 'data' }, h('h4', 'data', hasData ? copyButton('Copy', () => JSON.stringify(entry.data, null, 2)) : null),
      hasData ? tree(entry.data) : h('span', { class: 'missing' }, 'none')),
    entry.raw_line ? h('div', { class: 'data' }, h('h4', 'raw line', copyButton('Copy', () => entry.raw_line)),
      h('pre', { tabindex: 0 }, visible(entry.raw_line))) : '',
    copyButton('Copy entry', () => JSON.stringify(entry)),
  ];
}

function row(name, value) {
  return h('div', h('dt', name), h('dd', value));
}

// The data of an entry as a tree that folds. Built level by level, when it is opened; long lists by the hundred.
function tree(value, level = 0) {
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
