// Who talks, how much, how long their steps take, who follows whom. Figures of one window, which the page names.

import { h, svg, atMostEvery, button, renew, setText } from './element.js';
import { get } from './api.js';
import { drawMap, followsTable } from './follows.js';
import { count, duration, plural, rate, shorten, visible } from './format.js';
import { curlLine, mark, nothing } from './marks.js';
import { stepOf } from './pairing.js';
import { given, link, remember } from './router.js';
import { step } from './keyboard.js';
import { VirtualRows } from './virtual.js';

const REFRESH_MS = 5_000;
const COLUMNS = [
  ['source_id', 'Source', 1], ['endpoint', 'Step', 1], ['calls', 'Calls', -1], ['errors', 'Errors', -1], ['open', 'Open', -1],
  ['p50_ms', 'p50', -1], ['p95_ms', 'p95', -1], ['p99_ms', 'p99', -1], ['max_ms', 'max', -1],
];

export function sourcesView(context, route) {
  const state = given(route.query, { q: '', sort: 'calls' });
  let down = COLUMNS.find(([key]) => key === state.sort)?.[2] ?? -1;
  let all = [];
  let shown = [];
  let scale = { low: 0.1, high: 1 };
  let drawn = '';
  let mine = 0;
  let came = false; // an entry, since the view is open

  const headers = COLUMNS.map(([key, label], at) => h('span', { role: 'columnheader', class: `cell s${at}` }, button(label, `Sort by ${label}`, () => {
    down = state.sort === key ? -down : COLUMNS[at][2];
    state.sort = key;
    arrange();
  }, { class: 'sort' })));
  const range = h('span', { role: 'columnheader', class: 'cell s9' }, 'p50 ─ p99');
  const head = h('div', { role: 'rowgroup', class: 'head' }, h('div', { role: 'row', class: 'row' }, headers, range));
  const rows = new VirtualRows({ make: () => makeRow((number) => shown[number], () => scale), head, label: 'Durations of steps', name: 'steps' });
  const search = h('input', { type: 'search', placeholder: 'Part of a source or step   /', 'aria-label': 'Part of a source, operation or endpoint', spellcheck: 'false', class: 'grow' });
  search.value = state.q;
  search.oninput = () => { state.q = search.value.trim(); arrange(); };
  const windowed = h('p', { class: 'windowed' }, 'Counting …');
  const talkers = h('ul', { class: 'talkers', 'aria-label': 'Sources' });
  const map = h('div', { class: 'map-room', tabindex: 0, role: 'region', 'aria-label': 'Map of who follows whom' });
  const table = h('details', { class: 'as-table' }, h('summary', {}, 'The map as a table'));
  const full = h('div', { class: 'sources-room' },
    h('div', { class: 'sources-top' }, h('section', { 'aria-labelledby': 'who' }, h('h2', { id: 'who' }, 'Active sources'), h('p', { class: 'quiet' }, 'Calls in the window, entries per second'), talkers),
      h('section', { 'aria-labelledby': 'whom' }, h('h2', { id: 'whom' }, 'Who follows whom'), h('p', { class: 'quiet' }, 'How often an entry of one source directly followed one of another in the same chain'), map, table)),
    h('section', { class: 'steps-room', 'aria-labelledby': 'long' }, h('div', { class: 'bar' }, h('h2', { id: 'long' }, 'How long steps take'), search), windowed, rows.node));
  const empty = h('div', {});
  const node = h('section', { class: 'view sources-view', 'aria-label': 'Sources' }, empty, full);

  async function load() {
    const asked = (mine += 1);
    try {
      const [sources, endpoints, follows] = await Promise.all(['stats/sources', 'stats/endpoints', 'stats/follows'].map((path) => get(path)));
      if (asked !== mine) return;
      const none = !sources?.sources.length && !endpoints?.endpoints.length;
      full.hidden = none;
      if (none && came) begin(); // answers may be a second old
      empty.replaceChildren(...(none ? [nothing('No active sources', h('p', {}, 'No entries in the last hour. A source appears here as soon as it sends one:'), curlLine())] : []));
      showTalkers(sources?.sources ?? [], endpoints?.endpoints ?? []);
      showFollows(follows?.follows ?? []);
      all = endpoints?.endpoints ?? [];
      setText(windowed, windowWords(endpoints));
      arrange(Boolean(rows.chosen) || rows.node.matches(':hover'));
    } catch (error) {
      setText(windowed, error.message);
    }
  }

  // Rates are of the last minute, calls of the window: who was silent for a minute is still here.
  function showTalkers(sources, endpoints) {
    const found = new Map(sources.map((each) => [each.source_id, { rate: each.rate, calls: 0 }]));
    for (const { source_id: source, calls } of endpoints) {
      const one = found.get(source) ?? { rate: 0, calls: 0 };
      one.calls += calls;
      found.set(source, one);
    }
    const most = Math.max(1, ...[...found.values()].map((each) => each.calls));
    renew(talkers, h('ul', {}, [...found].sort(([, a], [, b]) => b.rate - a.rate || b.calls - a.calls).map(([source, each]) => {
      const fill = h('span', { class: 'fill' });
      fill.style.width = `${(100 * each.calls) / most}%`;
      return h('li', {}, h('a', { href: link('chains', [], { source }), title: `${visible(source)}: its chains` }, mark(source),
        h('span', { class: 'name' }, shorten(visible(source), 60)), h('span', { class: 'number' }, fill, h('span', {}, count(each.calls))),
        h('span', { class: 'number', title: 'Entries per second over the last minute' }, rate(each.rate))));
    })));
  }

  function showFollows(follows) {
    const now = JSON.stringify(follows);
    if (now === drawn || map.contains(document.activeElement) || map.matches(':hover')) return;
    drawn = now;
    map.replaceChildren(follows.length ? drawMap(follows) : h('p', { class: 'hint' }, 'No source has followed another yet.'));
    table.hidden = !follows.length;
    table.replaceChildren(table.firstChild, followsTable(follows));
  }

  // `still`: what somebody points at, or has in focus, stays where it is.
  function arrange(still = false) {
    const places = new Map(still ? shown.map((each, at) => [stepOf(each), at]) : []);
    remember(link('sources', [], { q: state.q, sort: state.sort === 'calls' ? '' : state.sort }));
    const part = state.q.toLowerCase();
    const words = (each) => `${each.source_id} ${each.operation} ${each.endpoint}`;
    shown = part ? all.filter((each) => words(each).toLowerCase().includes(part)) : [...all];
    const value = (each) => (state.sort === 'endpoint' ? `${each.operation} ${each.endpoint}` : each[state.sort] ?? -1);
    const place = (each) => places.get(stepOf(each)) ?? Infinity;
    shown.sort((a, b) => place(a) - place(b) || down * (value(a) > value(b) ? 1 : value(a) < value(b) ? -1 : 0));
    const ends = shown.flatMap((each) => [each.p50_ms, each.p99_ms]).filter((each) => each > 0);
    scale = { low: Math.min(...ends, 1), high: Math.max(...ends, 1) };
    headers.forEach((header, at) => {
      const sorted = COLUMNS[at][0] === state.sort;
      header.setAttribute('aria-sort', sorted ? (down > 0 ? 'ascending' : 'descending') : 'none');
    });
    rows.end = shown.length;
    rows.again();
  }

  const refresh = atMostEvery(REFRESH_MS, load);
  const ticking = setInterval(() => { if (!document.hidden) refresh(); }, REFRESH_MS); // who fell silent is no longer talking
  const begin = atMostEvery(500, load); // while there is nothing, the first entry shows soon
  return {
    node,
    title: 'Sources',
    start() { context.live.follow({ path: 'stream', entry: () => { came = true; if (full.hidden) begin(); else refresh(); }, again: load, gap: () => {} }); refresh(); },
    stop() { clearInterval(ticking); refresh.cancel(); begin.cancel(); rows.dispose(); mine += 1; },
    keys: {
      '/': () => search.focus(),
      j: () => rows.step(1),
      k: () => rows.step(-1),
      m: () => step([...map.querySelectorAll('a')], 1),
    },
    help: [['m', 'to the next source on the map']],
  };
}

// Which of the limits applied.
function windowWords(answer) {
  if (!answer) return 'This server has no duration figures.';
  const pairs = plural(answer.pairs, 'pair', 'pairs');
  if (answer.limited_by === 'pairs') return `The last ${pairs} of entry and exit, the maximum: ${duration(answer.window_s * 1000)} of the last hour.`;
  if (answer.limited_by === 'entries') return `The last ${pairs} of entry and exit among the newest entries, the maximum: ${duration(answer.window_s * 1000)} of the last hour.`;
  return `The last hour: ${pairs} of entry and exit.`;
}

function makeRow(item, scale) {
  const cells = [...COLUMNS, null].map((_, at) => h('span', { role: 'cell', class: `cell s${at}${at > 1 && at < 9 ? ' number' : ''}` }));
  const [line, middle, far] = [svg('line', { y1: 8, y2: 8 }), svg('circle', { cy: 8, r: 3 }), svg('line', { y1: 4, y2: 12 })];
  cells[9].append(svg('svg', { class: 'range', viewBox: '0 0 200 16', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, line, far, middle));
  const chains = h('a', { class: 'go' });
  cells[1].append(chains);
  const node = h('div', { role: 'row', class: 'row' }, cells);
  return {
    node,
    fill(number) {
      const each = item(number);
      chains.href = link('chains', [], { source: each.source_id });
      node.title = `${visible(each.source_id)}  ${visible(each.operation)}  ${visible(each.endpoint)}`;
      cells[0].replaceChildren(mark(each.source_id), h('span', { class: 'name' }, shorten(visible(each.source_id), 40)));
      chains.replaceChildren(h('span', { class: 'operation' }, visible(each.operation)), ' ', shorten(visible(each.endpoint), 200));
      ['calls', 'errors', 'open'].forEach((key, at) => {
        setText(cells[2 + at], each[key] || key === 'calls' ? count(each[key]) : '');
        cells[2 + at].classList.toggle('bad', at > 0 && each[key] > 0);
      });
      ['p50_ms', 'p95_ms', 'p99_ms', 'max_ms'].forEach((key, at) => setText(cells[5 + at], each[key] === null ? '–' : duration(each[key])));
      const x = (ms) => 6 + 188 * (Math.log(Math.max(ms, scale().low) / scale().low) / Math.log(Math.max(scale().high / scale().low, 1.001)));
      const none = each.p50_ms === null;
      for (const part of [line, middle, far]) part.setAttribute('visibility', none ? 'hidden' : 'visible');
      if (none) return;
      line.setAttribute('x1', x(each.p50_ms));
      line.setAttribute('x2', x(each.p99_ms));
      middle.setAttribute('cx', x(each.p50_ms));
      far.setAttribute('x1', x(each.p95_ms));
      far.setAttribute('x2', x(each.p95_ms));
    },
  };
}
