// Entries to bars: which exit belongs to which entry, what lies in what, how long each step was itself busy.
// Pure, and O(n log n) at worst. Times of bars are milliseconds since the first entry of the chain.

import { clocksOf, findCallers } from './clocks.js';

const GAP_SHARE = 0.1; // of the whole: a silence so long is marked
const MOST_GAPS = 8;

// {entries, bars, groups, gaps, clocks, origin, last, lasted, opens, orphans, errors}; bars in order of their start.
// `arrived`: entry -> its row id, as far as that is known.
export function model(entries, arrived = new Map()) {
  const ordered = inOrder(entries);
  const origin = ordered.length ? ordered[0].timestamp : 0;
  const bars = pairUp(ordered, origin);
  const last = ordered.length ? ordered.at(-1).timestamp - origin : 0;
  findCallers(bars);
  const clocks = clocksOf(bars, arrived);
  const lasted = byOneClock(bars, clocks, last);
  nest(clocks.length ? bars.toSorted((a, b) => a.from - b.from || b.until - a.until) : bars);
  return {
    entries: ordered, bars, clocks, origin, last, lasted,
    groups: layOut(bars),
    gaps: silences(ordered, origin, last),
    opens: bars.filter((bar) => bar.kind === 'open'),
    orphans: bars.filter((bar) => bar.kind === 'exit'),
    errors: bars.filter((bar) => bar.failed),
  };
}

// Whether an entry reports an error, by the rule that the server counts by.
export function reportsError(entry) {
  const data = entry.data;
  if (!data) return false;
  return saysSo(data.error) || saysSo(data.exception) || badStatus(data.status) || badStatus(data.status_code);
}

// An empty list or object says nothing, there as little as an empty text.
function saysSo(value) {
  return typeof value === 'object' && value ? Object.keys(value).length > 0 : Boolean(value);
}

function badStatus(status) {
  return typeof status === 'number' ? status >= 500 : typeof status === 'string' && /^(error|failed)$/i.test(status);
}

// When each bar began and ended by one clock for all hosts; gives how long the whole lasted.
function byOneClock(bars, clocks, last) {
  const ahead = new Map();
  for (const { host, other, ms } of clocks) ahead.set(host, (ahead.get(other) ?? 0) + ms);
  let [begin, end] = [Infinity, -Infinity];
  for (const bar of bars) {
    const by = ahead.get(bar.host) ?? 0;
    bar.from = bar.start - by;
    bar.until = bar.end - by;
    begin = Math.min(begin, bar.from);
    end = Math.max(end, bar.kind === 'open' ? bar.from : bar.until);
  }
  for (const bar of bars) bar.since = bar.from + last - end;
  return bars.length ? end - begin : 0;
}

function inOrder(entries) {
  for (let at = 1; at < entries.length; at += 1) {
    if (entries[at].timestamp < entries[at - 1].timestamp) return [...entries].sort((a, b) => a.timestamp - b.timestamp);
  }
  return entries;
}

// An exit ends the latest open entry of its step, as calls nest; where both name a span, the one that it names.
function pairUp(entries, origin) {
  const bars = [];
  const open = new Map(); // step and host -> open bars
  const spans = new Map();
  const orphans = [];
  for (const entry of entries) {
    const key = `${stepOf(entry)}\0${entry.hostname}`;
    const span = typeof entry.data?.span_id === 'string' ? `${key}\0${entry.data.span_id}` : null;
    if (entry.direction === '->') {
      const bar = makeBar(entry, origin);
      bars.push(bar);
      if (!open.has(key)) open.set(key, []);
      open.get(key).push(bar);
      if (span) spans.set(span, bar);
    } else {
      const named = span && spans.get(span);
      const bar = named && !named.exit ? named : lastOpen(open.get(key));
      if (bar) close(bar, entry, origin);
      else orphans.push(entry);
    }
  }
  return adopt(bars, orphans, origin).sort((a, b) => a.start - b.start || b.end - a.end);
}

// Exits that another host wrote than the entry's: a worker that another one took over from.
function adopt(bars, orphans, origin) {
  if (!orphans.length) return bars;
  const open = Map.groupBy(bars.filter((bar) => !bar.exit), (bar) => bar.step);
  const early = orphans.filter((exit) => {
    const stack = open.get(stepOf(exit));
    const at = stack ? stack.findLastIndex((bar) => !bar.exit && bar.entry.timestamp <= exit.timestamp) : -1;
    if (at >= 0) close(stack.splice(at, 1)[0], exit, origin);
    return at < 0;
  });
  for (const exit of early) { // before its entry, by another clock
    const bar = open.get(stepOf(exit))?.shift();
    if (bar) close(bar, exit, origin);
    else bars.push(makeOrphan(exit, origin));
  }
  return bars;
}

function lastOpen(stack) {
  while (stack?.length) {
    const bar = stack.pop();
    if (!bar.exit) return bar;
  }
  return null;
}

export function stepOf(entry) {
  return `${entry.source_id}\0${entry.operation}\0${entry.endpoint}`;
}

// What is called: `GET https://ws:80/stock` by who calls it is `GET /stock` by who serves it.
function nameOf({ endpoint }) {
  return endpoint.replace(/^([A-Z]+ )?(\w+:\/\/)?[^/\s]*(?=\/)/, '');
}

function makeBar(entry, origin) {
  return {
    kind: 'open', entry, exit: null, failed: reportsError(entry), start: entry.timestamp - origin, end: Infinity, row: 0,
    source: entry.source_id, host: entry.hostname, operation: entry.operation, step: stepOf(entry), name: nameOf(entry),
    parent: null, around: null, caller: null, calls: false, depth: 0, self: 0, busy: 0,
  };
}

function makeOrphan(exit, origin) {
  const at = exit.timestamp - origin;
  return { ...makeBar(exit, origin), kind: 'exit', entry: null, exit, start: at, end: at };
}

function close(bar, exit, origin) {
  bar.kind = 'pair';
  bar.exit = exit;
  bar.end = Math.max(bar.start, exit.timestamp - origin);
  bar.failed ||= reportsError(exit);
}

export function first(bar) {
  return bar.entry ?? bar.exit;
}

export function lengthOf(bar, now) {
  return bar.kind === 'open' ? Math.max(0, now - bar.since) : bar.end - bar.start;
}

// The parent of a bar is who called it, or the innermost one that holds it but for a share at the end: what answers may
// return a little before the answer is sent. One that never ended was waited for by what is open around it or, as far as
// that has ended, lasted for half of the rest; what ended does not lie in it. Its own time is what no child covers.
const LOOK_UP = 64; // calls beside each other that are looked through for a parent
const OVERHANG = 0.02; // of a child, that may be later than its parent's end

function nest(bars) {
  const stack = [];
  let latest = 0; // end so far
  for (const bar of bars) {
    while (stack.length && stack.at(-1).until < bar.from) stack.pop();
    const parent = bar.parent = parentOf(bar, stack.slice(-LOOK_UP), latest);
    latest = Math.max(latest, bar.until);
    bar.self = bar.until - bar.from;
    bar.busy = bar.from; // up to where children cover it
    if (parent) {
      bar.depth = parent.depth + 1;
      const from = Math.max(bar.from, parent.busy);
      const until = Math.min(bar.until, parent.until);
      if (until > from) { parent.self -= until - from; parent.busy = until; }
    }
    stack.push(bar);
  }
}

function parentOf(bar, others, latest) {
  const isOpen = bar.kind === 'open';
  const end = isOpen ? (bar.from + Math.max(bar.from, latest)) / 2 : bar.until - OVERHANG * (bar.until - bar.from);
  const caller = (isOpen || bar.caller?.until >= end) && bar.caller?.from <= bar.from ? bar.caller : null; // it may have given up
  let parent = caller ?? others.findLast((other) => other.until >= end && other.kind !== 'exit') ?? null;
  if (!caller) {
    if (!isOpen && parent?.around?.until >= end) parent = parent.around;
    if (parent && areBeside(parent, bar)) parent = parent.parent;
    for (let up = bar.calls ? parent : null; up; up = up.parent) if (up.calls && isOfOneProcess(up, bar)) parent = up.parent;
  }
  if (isOpen) bar.around = parent?.kind === 'pair' ? parent : parent?.around; // the innermost that has ended
  return parent;
}

// Calls beside each other: of one step or, while neither has ended, of one operation, which that of their parent is not.
function areBeside(one, other) {
  return one.step === other.step || (one.kind === 'open' && other.kind === 'open' && isOfOneProcess(one, other)
    && one.operation === other.operation && one.parent && one.parent.operation !== one.operation);
}

function isOfOneProcess(one, other) {
  return one.source === other.source && one.host === other.host;
}

// One group a source, in order of appearance; in it, rows of bars that do not overlap, the lowest free row first.
function layOut(bars) {
  const groups = new Map();
  for (const bar of bars) {
    let group = groups.get(bar.source);
    if (!group) groups.set(bar.source, group = { source: bar.source, rows: [], bars: [], free: [], taken: [], hosts: new Set() });
    group.hosts.add(bar.host);
    while (group.taken.length && group.taken[0][0] <= bar.start) push(group.free, [pop(group.taken)[1]]);
    bar.row = group.free.length ? pop(group.free)[0] : group.rows.length;
    push(group.taken, [bar.end === bar.start ? bar.start + 1e-6 : bar.end, bar.row]);
    (group.rows[bar.row] ??= []).push(bar);
    group.bars.push(bar);
  }
  return [...groups.values()];
}

function push(heap, item) {
  let at = heap.push(item) - 1;
  while (at > 0) {
    const up = (at - 1) >> 1;
    if (heap[up][0] <= heap[at][0]) break;
    [heap[up], heap[at]] = [heap[at], heap[up]];
    at = up;
  }
}

function pop(heap) {
  const top = heap[0];
  const last = heap.pop();
  if (!heap.length) return top;
  heap[0] = last;
  for (let at = 0; ;) {
    let least = at;
    for (const down of [2 * at + 1, 2 * at + 2]) if (down < heap.length && heap[down][0] < heap[least][0]) least = down;
    if (least === at) return top;
    [heap[least], heap[at]] = [heap[at], heap[least]];
    at = least;
  }
}

// The first bar of a row that ends at or after a time: the ends of a row are in order, as its bars do not overlap.
export function firstAfter(row, at) {
  let low = 0;
  let high = row.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (row[middle].end < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

function silences(entries, origin, last) {
  const found = [];
  for (let at = 1; at < entries.length; at += 1) {
    const length = entries[at].timestamp - entries[at - 1].timestamp;
    if (length > 0 && length >= last * GAP_SHARE) {
      found.push({ start: entries[at - 1].timestamp - origin, end: entries[at].timestamp - origin });
    }
  }
  return found.sort((a, b) => (b.end - b.start) - (a.end - a.start)).slice(0, MOST_GAPS);
}

// The open steps that wait for nobody: where the request is.
export function whereItIs(found) {
  const waiting = new Set(found.opens.map((bar) => bar.parent).filter(Boolean));
  return found.opens.filter((bar) => !waiting.has(bar)).reverse();
}

// What a step did itself, as far as it ended or was waited for.
export function ownOf(bar) {
  return bar.kind === 'pair' ? bar.self : (bar.around?.until ?? -Infinity) - bar.busy;
}

export function slowest(found) {
  const known = found.bars.filter((bar) => bar.kind === 'pair' || bar.around);
  return known.reduce((most, bar) => (most && ownOf(most) >= ownOf(bar) ? most : bar), null);
}
