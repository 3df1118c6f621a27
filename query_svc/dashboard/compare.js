// Two chains side by side, step by step: what took longer, what is missing. Both begin at zero, on one axis.

import { h, button, setText } from './element.js';
import { AGAIN_MS, chainPath, get, serverNow } from './api.js';
import { align } from './align.js';
import { clock, duration, plural, shorten, visible } from './format.js';
import { moment, nothing } from './marks.js';
import { first, model } from './pairing.js';
import { chainLink, go, link } from './router.js';
import { sourceClass } from './theme.js';
import { VirtualRows } from './virtual.js';

const LARGE_MS = 1; // a difference below it, or below a tenth of the step, is not marked
const NONE_MS = 0.01;
const DEEP = 12; // levels that are set in

export function compareView(context, route) {
  const ids = route.parts.slice(0, 2);
  const body = h('div', { class: 'compare-room' });
  const form = picker(ids);
  const node = h('section', { class: 'view compare-view', 'aria-label': 'Compare two chains' }, form.node, body);
  let rows = null;
  let found = [];
  let stopped = false;
  let retrying = 0;

  function begin() {
    if (ids.length < 2) {
      body.replaceChildren(nothing('Two chains, side by side', h('p', {}, 'Enter two correlation ids, or pick two in the list of chains: '),
        h('p', {}, h('kbd', {}, 'x'), ' picks the chain in focus, ', h('kbd', {}, 'c'), ' compares the two picked last.')));
      return;
    }
    body.replaceChildren(h('p', { class: 'hint', role: 'status' }, 'Loading both chains …'));
    load();
  }

  async function load() {
    try {
      const chains = await Promise.all(ids.map((id) => get(chainPath(id))));
      if (!stopped) show(chains);
    } catch (error) {
      if (stopped) return;
      body.replaceChildren(nothing('The chains did not load', h('p', {}, error.message)));
      retrying = setTimeout(load, AGAIN_MS);
    }
  }

  function show(chains) {
    const missing = chains.findIndex((chain) => !chain.count);
    if (missing >= 0) {
      body.replaceChildren(nothing('No such chain', h('p', {}, `No entries of ${shorten(visible(ids[missing]), 90)} are stored. They may have expired.`)));
      return;
    }
    const [a, b] = chains.map((chain) => model(chain.traces));
    found = align(a.bars, b.bars).map(judge);
    const longest = Math.max(a.last, b.last, 1e-3);
    const head = h('div', { role: 'rowgroup', class: 'head' }, h('div', { role: 'row', class: 'row' },
      ['Step', 'A', 'B', 'B against A'].map((name, at) => h('span', { role: 'columnheader', class: `cell d${at}` }, name))));
    rows = new VirtualRows({ make: () => makeRow((number) => found[number], longest, ids), head, label: 'Steps of both chains', name: 'compared' });
    rows.end = found.length;
    body.replaceChildren(summary(chains, a, b), rows.node);
  }

  function summary(chains, a, b) {
    const only = (which) => found.filter((each) => each.kind === which).length;
    const changed = found.filter((each) => each.large);
    const most = changed.reduce((top, each) => (!top || Math.abs(each.self) > Math.abs(top.self) ? each : top), null);
    const card = (name, chain, parts) => h('div', { class: 'card' }, h('b', { class: 'letter' }, name),
      h('a', { href: chainLink(chain.correlation_id), title: visible(chain.correlation_id) }, shorten(visible(chain.correlation_id), 48)),
      h('span', { class: 'gist' }, duration(parts.last), ' · ', plural(chain.count, 'entry', 'entries'), ' · ', moment(parts.origin),
        chain.next ? ' · only its beginning' : '', chain.expired ? ` · ${plural(chain.expired, 'earlier entry', 'earlier entries')} expired` : ''));
    const words = [
      outcome(chains, [a, b]),
      only('a') ? h('span', { class: 'absent' }, `${plural(only('a'), 'step')} missing in B`) : null,
      only('b') ? h('span', { class: 'absent' }, `${plural(only('b'), 'step')} only in B`) : null,
      h('span', {}, changed.length ? `${plural(changed.length, 'step differs', 'steps differ')} in duration` : 'no step differs in duration'),
    ];
    return h('div', { class: 'summary' }, h('div', { class: 'cards' }, card('A', chains[0], a), card('B', chains[1], b)),
      h('div', { class: 'verdict' }, h('p', { role: 'status' }, words.filter(Boolean)), most ? button('Largest difference', 'The step that explains most of the difference (l)', () => to(found.indexOf(most)), { class: 'small' }) : null,
        button('Next difference', 'To the next difference (d)', () => next(1), { class: 'small' }), button('A ⇄ B', 'Swap (s)', swap, { class: 'small' })));
  }

  function to(number) { rows.nodeOf(number).focus({ preventScroll: true }); }

  function next(by) {
    if (!rows) return;
    const at = Number(document.activeElement.closest('[aria-rowindex]')?.getAttribute('aria-rowindex') ?? 0) - 2;
    const start = at >= 0 ? at : by > 0 ? -1 : found.length;
    for (let number = start + by; number >= 0 && number < found.length; number += by) {
      if (found[number].large || found[number].kind !== 'both') { to(number); return; }
    }
    context.say(by > 0 ? 'No further difference' : 'No earlier difference');
  }

  function swap() { if (ids.length === 2) go(link('compare', [ids[1], ids[0]])); }

  return {
    node,
    title: 'Compare',
    start() { context.live.follow(null); begin(); },
    stop() { stopped = true; clearTimeout(retrying); rows?.dispose(); },
    keys: {
      '/': () => form.focus(),
      j: () => rows?.step(1),
      k: () => rows?.step(-1),
      d: () => next(1),
      D: () => next(-1),
      l: () => { const largest = found.filter((each) => each.large).sort((a, b) => Math.abs(b.self) - Math.abs(a.self))[0]; if (largest) to(found.indexOf(largest)); },
      s: swap,
    },
    help: [['d D', 'next, previous difference'], ['l', 'the largest difference'], ['s', 'swap A and B']],
  };
}

// What is recorded of a chain that is open, or a part of one, says nothing of how long it takes.
function outcome(chains, found) {
  const letters = (is) => ['A', 'B'].filter((_, at) => is(at)).join(' and ');
  const open = letters((at) => found[at].opens.length);
  const parts = letters((at) => chains[at].expired || chains[at].next);
  if (parts) return h('b', { class: 'slower' }, `Only a part of ${parts} is compared`);
  if (open) return h('b', { class: 'slower' }, `${open} ${open.length > 1 ? 'are' : 'is'} open, as of ${clock(serverNow(), 0)}`);
  const gain = found[1].last - found[0].last;
  return h('b', { class: gain > 0 ? 'slower' : 'faster' }, Math.abs(gain) < LARGE_MS ? 'B took as long as A' : `B took ${duration(Math.abs(gain))} ${gain > 0 ? 'longer' : 'less'}`);
}

// What a pair of steps amounts to: `by` is the difference of the whole step, `self` of what no inner step explains.
function judge({ a, b }) {
  if (!a || !b) return { a, b, kind: a ? 'a' : 'b', by: 0, self: 0, large: false };
  if (a.kind !== 'pair' || b.kind !== 'pair') return { a, b, kind: 'both', by: NaN, self: 0, large: a.kind !== b.kind };
  const [was, is] = [a.end - a.start, b.end - b.start];
  const by = is - was;
  return { a, b, kind: 'both', by, self: b.self - a.self, large: Math.abs(by) >= Math.max(LARGE_MS, 0.1 * Math.max(was, is)) };
}

function makeRow(item, longest, ids) {
  const [step, left, right, difference] = [0, 1, 2, 3].map((at) => h('span', { role: 'cell', class: `cell d${at}` }));
  const name = h('a', { class: 'name go' });
  const mark = h('span', {});
  const operation = h('span', { class: 'operation' });
  step.append(mark, operation, name);
  const sides = [left, right].map((cell) => {
    const bar = h('span', { class: 'bar-of' });
    const words = h('span', { class: 'number' });
    cell.append(h('span', { class: 'track' }, bar), words);
    return { cell, bar, words };
  });
  const words = h('span', {});
  difference.append(words);
  const node = h('div', { role: 'row', class: 'row' }, step, left, right, difference);
  return {
    node,
    fill(number) {
      const each = item(number);
      const entry = first(each.a ?? each.b);
      name.href = chainLink(each.a ? ids[0] : ids[1]);
      node.className = `row ${each.kind === 'both' ? '' : `only-${each.kind}`}`;
      step.style.paddingInlineStart = `${8 + 14 * Math.min(DEEP, (each.a ?? each.b).depth)}px`;
      step.title = `${visible(entry.source_id)}  ${visible(entry.operation)}  ${visible(entry.endpoint)}`;
      mark.className = `mark ${sourceClass(entry.source_id)}`;
      setText(mark, shorten(visible(entry.source_id), 24));
      setText(operation, visible(entry.operation));
      setText(name, visible(shorten(entry.endpoint, 200)));
      sides.forEach((side, at) => drawSide(side, at ? each.b : each.a, longest, entry.source_id));
      say(each);
    },
  };

  function say(each) {
    const { a, b, by, large } = each;
    difference.className = `cell d3 number ${large ? (by < 0 ? 'faster' : 'slower') : 'small'}`;
    if (each.kind !== 'both') setText(words, each.kind === 'a' ? 'missing in B' : 'only in B');
    else if (a.kind === 'pair' && b.kind === 'pair') setText(words, Math.abs(by) < NONE_MS ? '=' : `${by > 0 ? '+' : ''}${duration(by)}${large ? ratio(a, b) : ''}`);
    else setText(words, a.kind === b.kind ? '' : a.kind === 'open' ? 'open in A' : b.kind === 'open' ? 'open in B' : 'its entry is missing');
  }
}

function ratio(a, b) {
  const times = (b.end - b.start) / (a.end - a.start);
  return Number.isFinite(times) && (times >= 1.5 || times <= 0.67) && times > 0 ? `  ×${times >= 10 ? Math.round(times) : times.toFixed(times < 1 ? 2 : 1)}` : '';
}

function drawSide({ cell, bar, words }, side, longest, source) {
  cell.classList.toggle('absent', !side);
  bar.hidden = !side;
  setText(words, side ? (side.kind === 'pair' ? duration(side.end - side.start) : side.kind === 'open' ? 'open' : 'exit only') : '–');
  if (!side) return;
  const end = side.kind === 'open' ? longest : side.end;
  bar.className = `bar-of ${sourceClass(source)} ${side.kind}${side.failed ? ' failed' : ''}`;
  bar.style.left = `${(100 * side.start) / longest}%`;
  bar.style.width = `${Math.max(0, (100 * (end - side.start)) / longest)}%`;
}

function picker(ids) {
  const known = h('datalist', { id: 'known-chains' });
  const inputs = ['A', 'B'].map((letter, at) => {
    const input = h('input', { type: 'search', 'aria-label': `Correlation id of ${letter}`, placeholder: `Correlation id of ${letter}`, list: 'known-chains', spellcheck: 'false', autocomplete: 'off', class: 'grow' });
    input.value = ids[at] ?? '';
    return input;
  });
  const node = h('form', { class: 'bar', role: 'search', onsubmit: (event) => {
    event.preventDefault();
    const wanted = inputs.map((input) => input.value.trim());
    const empty = wanted.findIndex((id) => !id);
    if (empty >= 0) inputs[empty].focus();
    else go(link('compare', wanted));
  } }, inputs, h('button', { type: 'submit', class: 'small' }, 'Compare'), known);
  get('correlations', { limit: 100 }).then((answer) => known.append(...answer.correlations.map((chain) =>
    h('option', { value: chain.correlation_id }, duration(chain.duration_ms))))).catch(() => {});
  return { node, focus: () => inputs[0].focus() };
}
