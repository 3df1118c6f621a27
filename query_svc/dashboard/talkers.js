// The list of sources: how many calls each had in the window, and how many entries a second it sends.

import { h, renew } from './element.js';
import { rate, shorten, visible } from './format.js';
import { counted, mark } from './marks.js';
import { link } from './router.js';

export function showTalkers(list, sources, endpoints) {
  const found = talkers(sources, endpoints);
  const most = Math.max(1, ...found.map((each) => each.calls));
  renew(list, h('ul', {}, found.map((each) => row(each, most))));
}

// Rates are of the last minute, calls of the window: who was silent for a minute is still here.
function talkers(sources, endpoints) {
  const found = new Map(sources.map(({ source_id: source, rate: perSecond }) => [source, { source, perSecond, calls: 0 }]));
  for (const { source_id: source, calls } of endpoints) {
    const one = found.get(source) ?? { source, perSecond: 0, calls: 0 };
    one.calls += calls;
    found.set(source, one);
  }
  return [...found.values()].sort((a, b) => b.perSecond - a.perSecond || b.calls - a.calls);
}

function row({ source, perSecond, calls }, most) {
  return h('li', {}, h('a', { href: link('chains', [], { source }), title: `${visible(source)}: its chains` }, mark(source),
    h('span', { class: 'name' }, shorten(visible(source), 60)),
    h('span', { class: 'number' }, counted(calls, most)),
    h('span', { class: 'number', title: 'Entries per second over the last minute' }, rate(perSecond))));
}
