// Keys: those of a view and those of the page. Letters and signs can be switched off, but for a picture that has the focus:
// who dictates would press them with every word.

import { h, button, keep, kept } from './element.js';

const GLOBAL = [
  ['/', 'search'], ['1 2 3 4', 'chains, tail, sources, compare'], ['j k', 'next, previous'], ['Enter', 'open'], ['Esc', 'back'],
  ['p', 'pause or resume'], ['t', 'light, dark or system colours'], ['?', 'this help'],
];
const SERVED = ['1 2 3 4', 'Enter', 'Esc', 'p']; // not in a chain that was saved
let page = {};
let view = {};
let words = [];
let letters = kept('letters') !== 'off';

export function startKeys(pageKeys) {
  page = pageKeys;
  addEventListener('keydown', pressed);
}

// `keys`: key -> act; `help`: [[keys, what], ...].
export function viewKeys(keys = {}, help = []) {
  view = keys;
  words = help;
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector('dialog[open]')) return;
  const typing = event.target.closest?.('input, select, textarea');
  if (typing && event.key !== 'Escape') return;
  if (typing) {
    typing.blur();
    event.preventDefault();
    return;
  }
  const native = ['Enter', ' '].includes(event.key) && event.target.closest?.('a, button, summary');
  if (!letters && event.key.length === 1 && !event.target.closest?.('[role=application]')) return;
  const act = view[event.key] ?? page[event.key];
  if (!act || native) return;
  if (act(event) !== false) event.preventDefault();
}

function useLetters(yes) {
  letters = yes;
  keep('letters', yes ? 'on' : 'off');
}

export function showHelp() {
  const list = (rows) => h('dl', { class: 'keys' }, rows.map(([keys, what]) => h('div',
    h('dt', keys.split(' ').map((key) => h('kbd', key))), h('dd', what))));
  const served = '1' in page;
  const dialog = h('dialog', { 'aria-labelledby': 'help-title', class: 'help' },
    h('h2', { id: 'help-title' }, 'Keys'),
    words.length ? [h('h3', 'In this view'), list(words)] : null,
    h('h3', 'Everywhere'), list(GLOBAL.filter(([keys]) => served || !SERVED.includes(keys))),
    h('label', h('input', { type: 'checkbox', checked: letters, onchange: (event) => useLetters(event.target.checked) }), ' Single-character keys'),
    served ? h('p', h('a', { href: 'openapi.json' }, 'openapi.json'), ' describes the API behind this page.') : null,
    button('Close', 'Close', () => dialog.close()));
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

// Move the focus among elements, as j and k do.
export function step(nodes, by) {
  if (!nodes.length) return;
  const at = nodes.findIndex((node) => node === document.activeElement || node.contains(document.activeElement));
  const next = nodes[at < 0 ? (by > 0 ? 0 : nodes.length - 1) : Math.max(0, Math.min(nodes.length - 1, at + by))];
  next.focus();
  next.scrollIntoView({ block: 'nearest' });
}
