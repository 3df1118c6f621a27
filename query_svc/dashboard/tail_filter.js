// What somebody wants of the tail: the fields above it, and the server's choice among entries that are stored already.

import { h, typed } from './element.js';

export const EVERYTHING = { source: '', operation: '', endpoint: '', correlation_id: '' };

const FIELDS = [
  ['source', 'Source, the whole name', 'Source', 'source'],
  ['operation', 'Operation, the whole word', 'Operation', 'source'],
  ['endpoint', 'Endpoint, with * and ?', 'Endpoint  *', 'grow'],
  ['correlation_id', 'Correlation id, with * and ?', 'Correlation id  *', 'grow'],
];

export function tailFilter(filter, changed) {
  const { field, leave } = typed(filter, changed);
  const inputs = FIELDS.map(([name, label, hint, kind]) =>
    field(name, { placeholder: hint, 'aria-label': label, title: label, class: kind }));
  return { bar: h('div', { class: 'bar', role: 'search' }, inputs), search: inputs[0], leave };
}

export function matcher(filter) {
  const endpoint = glob(filter.endpoint);
  const id = glob(filter.correlation_id);
  return (entry) => (!filter.source || entry.source_id === filter.source)
    && (!filter.operation || entry.operation === filter.operation)
    && endpoint.test(entry.endpoint) && id.test(entry.correlation_id);
}

function glob(pattern) {
  if (!pattern) return /^/;
  const source = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*').replaceAll('?', '.');
  return new RegExp(`^${source}$`, 'su');
}
