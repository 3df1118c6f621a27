// The three answers at the top of a chain: where is it, what is slow, what is missing.

import { h, button } from './element.js';
import { count, duration, plural, shorten, visible } from './format.js';
import { first, lengthOf, slowest, whereItIs } from './pairing.js';

const NAMED = 3;

export function facts(model, { now, complete, expired, stuck, choose }) {
  return [
    fact('Where', where(model, { now, complete, expired, stuck, choose })),
    fact('Slow', slow(model, expired, choose)),
    fact('Missing', missing(model, expired, choose)),
  ];
}

function fact(name, [kind, ...parts]) {
  return h('div', { class: `fact ${kind}` }, h('h2', {}, name), h('p', {}, parts));
}

function where(model, { now, complete, expired, stuck, choose }) {
  if (!model.bars.length) return ['calm', 'no entries yet'];
  const leaves = whereItIs(model);
  if (!leaves.length && expired) return ['calm', `none of what is left is open; it spans ${duration(model.last)}`];
  if (!leaves.length) return ['calm', complete ? `done, after ${duration(model.last)}` : `nothing is open, after ${duration(model.last)}`];
  const parts = leaves.slice(0, NAMED).flatMap((bar, at) => [at ? '; ' : stuck ? 'stopped in ' : 'in ', step(bar, choose), host(model, bar), stuck ? ', open for ' : ' for ', duration(lengthOf(bar, now))]);
  if (leaves.length > NAMED) parts.push(`, and ${plural(leaves.length - NAMED, 'more', 'more')}`);
  return [stuck ? 'warn' : 'open', ...parts];
}

function slow(model, expired, choose) {
  const bar = slowest(model);
  if (!bar || bar.self <= 0) return ['calm', bar ? 'no step took time of its own' : 'no step has ended yet'];
  const share = Math.round((100 * bar.self) / (model.last || 1));
  return [share >= 50 ? 'slow' : 'calm', step(bar, choose), ` itself ${duration(bar.self)}`, share >= 1 && share <= 100 ? `, ${share} % of ${expired ? 'what is left' : 'the whole'}` : ''];
}

function missing(model, expired, choose) {
  const parts = [];
  const add = (...more) => parts.push(...(parts.length ? ['; '] : []), ...more);
  if (expired) add(expired === 1 ? 'the first entry, which has expired' : `the first ${count(expired)} entries, which have expired`);
  if (model.opens.length) add(`${plural(model.opens.length, 'exit')} of `, ...named([...model.opens].reverse(), choose));
  if (model.orphans.length) add(`${plural(model.orphans.length, 'entry', 'entries')} of `, ...named(model.orphans, choose), model.orphans.length > 1 ? ', though their exits arrived' : ', though its exit arrived');
  if (model.errors.length) add(h('span', { class: 'bad' }, plural(model.errors.length, 'error')), ' in ', ...named(model.errors.toSorted((a, b) => b.depth - a.depth), choose)); // innermost first: where it came from
  if (!parts.length) return ['calm', 'nothing: each entry has its exit'];
  return [model.errors.length ? 'bad' : model.opens.length || (model.orphans.length && !expired) ? 'warn' : 'calm', ...parts];
}

function named(bars, choose) {
  const parts = bars.slice(0, NAMED).flatMap((bar, at) => [at ? ', ' : '', step(bar, choose)]);
  return bars.length > NAMED ? [...parts, ` and ${plural(bars.length - NAMED, 'more', 'more')}`] : parts;
}

// Which of the hosts of a source, where it has several.
function host({ groups }, bar) {
  const { hosts } = groups.find((group) => group.source === bar.source);
  return hosts.size > 1 ? ` on ${shorten(visible(first(bar).hostname), 40)}` : '';
}

function step(bar, choose) {
  const entry = first(bar);
  const words = shorten(visible(entry.endpoint || entry.operation), 32);
  return button(`${shorten(visible(entry.source_id), 20)} ${words}`, `Select ${visible(`${entry.source_id} ${entry.operation} ${entry.endpoint}`)}`, () => choose(bar), { class: 'link' });
}
