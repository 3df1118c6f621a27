// Entries to bars: which exit belongs to which entry, what lies in what, how long each step was itself busy.
// Pure, and O(n log n) at worst. Times of bars are milliseconds since the first entry of the chain.

const GAP_SHARE = 0.1; // of the whole: a silence so long is marked
const MOST_GAPS = 8;

// {bars, groups, gaps, origin, last, opens, orphans, errors}; bars in order of their start.
export function model(entries) {
  const ordered = inOrder(entries);
  const origin = ordered.length ? ordered[0].timestamp : 0;
  const bars = pairUp(ordered, origin);
  const last = ordered.length ? ordered.at(-1).timestamp - origin : 0;
  nest(bars);
  return {
    entries: ordered, bars, origin, last,
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
  const open = Map.groupBy(bars.filter((bar) => !bar.exit), (bar) => stepOf(bar.entry));
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

function makeBar(entry, origin) {
  return {
    kind: 'open', entry, exit: null, source: entry.source_id, start: entry.timestamp - origin, end: Infinity,
    failed: reportsError(entry), parent: null, around: null, depth: 0, self: 0, busy: 0, row: 0,
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
  return (bar.kind === 'open' ? Math.max(now, bar.start) : bar.end) - bar.start;
}

// The parent of a bar is the innermost one that holds it, but for a share at the end: what answers may return a little
// before the answer is sent. One that never ended is taken to have been waited for: by what is open around it or, as far
// as that has ended, by what lasted for half of the rest. What ended lies in what ended around it, rather than in it.
// Its own time is what no child covers.
const LOOK_UP = 64; // calls beside each other that are looked through for a parent
const OVERHANG = 0.02; // of a child, that may be later than its parent's end

function nest(bars) {
  const stack = [];
  let latest = 0; // end so far
  for (const bar of bars) {
    while (stack.length && stack.at(-1).end < bar.start) stack.pop();
    const parent = bar.parent = parentOf(bar, stack.slice(-LOOK_UP), latest);
    latest = Math.max(latest, bar.end);
    bar.self = bar.end - bar.start;
    bar.busy = bar.start; // up to where children cover it
    if (parent) {
      bar.depth = parent.depth + 1;
      const from = Math.max(bar.start, parent.busy);
      const until = Math.min(bar.end, parent.end);
      if (until > from) { parent.self -= until - from; parent.busy = until; }
    }
    stack.push(bar);
  }
}

function parentOf(bar, others, latest) {
  const isOpen = bar.kind === 'open';
  const end = isOpen ? (bar.start + Math.max(bar.start, latest)) / 2 : bar.end - OVERHANG * (bar.end - bar.start);
  let parent = others.findLast((other) => other.end >= end && other.kind !== 'exit') ?? null;
  if (!isOpen && parent?.around?.end >= end) parent = parent.around;
  if (parent && stepOf(first(parent)) === stepOf(first(bar))) parent = parent.parent; // calls beside each other
  if (isOpen) bar.around = parent?.kind === 'pair' ? parent : parent?.around; // the innermost that has ended
  return parent;
}

// One group a source, in order of appearance; in it, rows of bars that do not overlap, the lowest free row first.
function layOut(bars) {
  const groups = new Map();
  for (const bar of bars) {
    let group = groups.get(bar.source);
    if (!group) groups.set(bar.source, group = { source: bar.source, rows: [], bars: [], free: [], taken: [], hosts: new Set() });
    group.hosts.add(first(bar).hostname);
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

export function slowest(found) {
  return found.bars.reduce((most, bar) => (bar.kind === 'pair' && (!most || bar.self > most.self) ? bar : most), null);
}
