// What somebody wants of the chains: the fields above the list, and what it says when nothing is like that.

import { h, typed } from './element.js';
import { get } from './api.js';
import { duration, rate } from './format.js';
import { nothing, nothingYet, STATES } from './marks.js';

const TIMES = [['', 'any time'], [5, '5 min'], [60, '1 h'], [360, '6 h'], [1440, '24 h']];
const WANTED = [['', 'any state'], ...Object.entries(STATES).map(([state, [, words]]) => [state, words])];

// And the time that a link asks for, whatever it is.
function times(minutes) {
  return minutes > 0 && !TIMES.some(([value]) => String(value) === minutes) ? [...TIMES, [minutes, duration(minutes * 60_000)]] : TIMES;
}

export function filters(filter, changed) {
  const choice = (name, label, options) => {
    const select = h('select', { 'aria-label': label, title: label }, options.map(([value, text]) =>
      h('option', { value }, text)));
    select.value = filter[name];
    if (select.selectedIndex < 0) filter[name] = select.value = ''; // an address may say anything
    select.onchange = () => { filter[name] = select.value; changed(); };
    return select;
  };
  const { field, leave } = typed(filter, changed);
  const known = h('datalist', { id: 'known-sources' });
  const search = field('q', { 'aria-label': 'Part of a correlation id', placeholder: 'Part of an id   /', class: 'grow' });
  const bar = h('div', { class: 'bar', role: 'search' }, search,
    field('source', { 'aria-label': 'Source, the whole name', placeholder: 'Source', list: 'known-sources', class: 'source' }),
    choice('state', 'State', WANTED), choice('minutes', 'Active within', times(filter.minutes)), known);
  bar.querySelector('.source').addEventListener('focus', async () => {
    const answer = await get('stats/sources').catch(() => null);
    if (answer) known.replaceChildren(...answer.sources.map((each) => h('option', { value: each.source_id }, rate(each.rate))));
  });
  return { bar, search, leave };
}

// Whether a filter leaves anything out.
export function narrows(filter) {
  return Object.values(filter).some(Boolean);
}

export function emptiness(filter, more) {
  if (narrows(filter)) {
    return nothing(more ? 'No matches yet' : 'No matching chains', h('p', more
      ? 'None of the newest chains match. Look further back, or loosen the filter.'
      : 'No stored chain matches. The source must be its whole name; a part of the id is enough.'));
  }
  return nothingYet('No chains yet');
}
