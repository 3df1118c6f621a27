// What is known of one step: its entry and its exit, their data, raw lines, hosts and offsets.

import { h, button } from './element.js';
import { duration, visible } from './format.js';
import { copyButton, mark, moment } from './marks.js';
import { first, lengthOf, reportsError } from './pairing.js';
import { tree } from './tree.js';

export function details(bar, view) {
  const { origin } = view.model;
  const step = first(bar);
  const open = bar.kind === 'open';
  return h('aside', { class: 'details', 'aria-label': 'The selected step', tabindex: -1 },
    h('div', { class: 'details-head' }, mark(step.source_id, false),
      button('×', 'Close (Esc)', () => view.close(), { class: 'plain', 'aria-label': 'Close' })),
    h('h2', {}, h('span', { class: 'operation' }, visible(step.operation)), ' ', visible(step.endpoint)),
    h('p', { class: `took ${bar.kind}` }, h('strong', {}, told(bar, view.end)),
      bar.kind === 'pair' && bar.self < lengthOf(bar, 0) * 0.999 ? ` of which itself ${duration(Math.max(0, bar.self))}` : ''),
    bar.parent ? h('p', { class: 'within' }, 'within ', button(
      `${visible(first(bar.parent).source_id)} ${visible(first(bar.parent).endpoint)}`, 'Go to the step around it',
      () => view.choose(bar.parent), { class: 'link' })) : null,
    side('Entry', bar.entry, origin), side('Exit', bar.exit, origin, open));
}

export function told(bar, end) {
  if (bar.kind === 'exit') return 'an exit without its entry';
  return `${bar.kind === 'open' ? 'still open, for' : 'took'} ${duration(lengthOf(bar, end))}`;
}

function side(name, entry, origin, open) {
  if (!entry) {
    return h('section', { class: 'side' }, h('h3', {}, name),
      h('p', { class: 'missing' }, open ? 'has not come' : 'was never recorded, or has expired'));
  }
  const hasData = entry.data !== null && entry.data !== undefined;
  return h('section', { class: 'side' },
    h('h3', {}, name, reportsError(entry) ? h('span', { class: 'badge' }, 'error') : null),
    h('dl', {},
      row('at', h('span', {}, `+${duration(entry.timestamp - origin)}  `, moment(entry.timestamp))),
      row('host', visible(entry.hostname)),
      row('suffix', visible(entry.suffix))),
    h('div', { class: 'data' }, h('h4', {}, 'data', hasData ? copyButton('Copy', () => JSON.stringify(entry.data, null, 2)) : null),
      hasData ? tree(entry.data) : h('span', { class: 'missing' }, 'none')),
    entry.raw_line ? h('div', { class: 'data' }, h('h4', {}, 'raw line', copyButton('Copy', () => entry.raw_line)),
      h('pre', { tabindex: 0 }, visible(entry.raw_line))) : null,
    copyButton('Copy entry', () => JSON.stringify(entry)));
}

function row(name, value) {
  return h('div', {}, h('dt', {}, name), h('dd', {}, value));
}
