// Two chains side by side, step by step: what took longer, what is missing. Both begin at zero, on one axis.

import { h, button, opens, searchField, setText, tableHead } from './element.js';
import { AGAIN_MS, chainPath, get, serverNow } from './api.js';
import { Comparison, LARGE_MS } from './comparison.js';
import { clock, duration, plural, shorten, visible } from './format.js';
import { moment, nothing } from './marks.js';
import { first } from './pairing.js';
import { chainLink, go, link } from './router.js';
import { sourceClass } from './theme.js';
import { VirtualRows } from './virtual.js';

const COLUMNS = ['Step', 'A', 'B', 'B against A'];
const NONE_MS = 0.01;
const DEEP = 12; // levels that are set in

export class CompareView {
  constructor(context, route) {
    this.title = 'Compare';
    this.help = [['d D', 'next, previous difference'], ['l', 'the largest difference'], ['s', 'swap A and B']];
    this.keys = {
      '/': () => this._picker.focus(),
      j: () => this._rows?.step(1),
      k: () => this._rows?.step(-1),
      d: () => this._next(1),
      D: () => this._next(-1),
      l: () => this._toLargest(),
      s: () => this._swap(),
    };
    this._context = context;
    this._ids = route.parts.slice(0, 2);
    this._comparison = null;
    this._rows = null;
    this._stopped = false;
    this._retrying = 0;
    this._picker = picker(this._ids);
    this._body = h('div', { class: 'compare-room' });
    this.node = h('section', { class: 'view compare-view', 'aria-label': 'Compare two chains' }, this._picker.node, this._body);
  }

  start() {
    this._context.live.follow(null);
    if (this._ids.length < 2) {
      this._body.replaceChildren(howToPick());
      return;
    }
    this._body.replaceChildren(h('p', { class: 'hint', role: 'status' }, 'Loading both chains …'));
    this._load();
  }

  stop() {
    this._stopped = true;
    clearTimeout(this._retrying);
    this._rows?.dispose();
  }

  async _load() {
    try {
      const chains = await Promise.all(this._ids.map((id) => get(chainPath(id))));
      if (!this._stopped) this._show(chains);
    } catch (error) {
      if (this._stopped) return;
      this._body.replaceChildren(nothing('The chains did not load', h('p', error.message)));
      this._retrying = setTimeout(() => this._load(), AGAIN_MS);
    }
  }

  _show(chains) {
    const missing = chains.findIndex((chain) => !chain.count);
    if (missing >= 0) {
      const id = shorten(visible(this._ids[missing]), 90);
      this._body.replaceChildren(nothing('No such chain', h('p', `No entries of ${id} are stored. They may have expired.`)));
      return;
    }
    const comparison = new Comparison(chains);
    this._comparison = comparison;
    this._rows = new VirtualRows({
      make: () => new CompareRow((number) => comparison.pairs[number], comparison.longest, this._ids),
      head: tableHead(COLUMNS, 'd'), label: 'Steps of both chains', name: 'compared',
    });
    this._rows.end = comparison.pairs.length;
    this._body.replaceChildren(this._summary(), this._rows.node);
  }

  _summary() {
    const { chains, models, largest } = this._comparison;
    return h('div', { class: 'summary' },
      h('div', { class: 'cards' }, card('A', chains[0], models[0]), card('B', chains[1], models[1])),
      h('div', { class: 'verdict' },
        h('p', { role: 'status' }, verdict(this._comparison)),
        largest ? button('Largest difference', 'The step that explains most of the difference (l)', () => this._toLargest(), { class: 'small' }) : null,
        button('Next difference', 'To the next difference (d)', () => this._next(1), { class: 'small' }),
        button('A ⇄ B', 'Swap (s)', () => this._swap(), { class: 'small' })));
  }

  _to(number) {
    this._rows.nodeOf(number).focus({ preventScroll: true });
  }

  _toLargest() {
    const largest = this._comparison?.largest;
    if (largest) this._to(this._comparison.pairs.indexOf(largest));
  }

  _next(by) {
    if (!this._comparison) return;
    const at = Number(document.activeElement.closest('[aria-rowindex]')?.ariaRowIndex ?? 0) - 2;
    const number = this._comparison.next(at >= 0 ? at : by > 0 ? -1 : this._comparison.pairs.length, by);
    if (number === undefined) this._context.say(by > 0 ? 'No further difference' : 'No earlier difference');
    else this._to(number);
  }

  _swap() {
    if (this._ids.length === 2) go(link('compare', [this._ids[1], this._ids[0]]));
  }
}

function howToPick() {
  return nothing('Two chains, side by side',
    h('p', 'Enter two correlation ids, or pick two in the list of chains: '),
    h('p', h('kbd', 'x'), ' picks the chain in focus, ', h('kbd', 'c'), ' compares the two picked last.'));
}

function card(letter, chain, { last, origin }) {
  const id = visible(chain.correlation_id);
  return h('div', { class: 'card' }, h('b', { class: 'letter' }, letter),
    h('a', { href: chainLink(chain.correlation_id), title: id }, shorten(id, 48)),
    h('span', { class: 'gist' }, duration(last), ' · ', plural(chain.count, 'entry', 'entries'), ' · ', moment(origin),
      chain.next ? ' · only its beginning' : '',
      chain.expired ? ` · ${plural(chain.expired, 'earlier entry', 'earlier entries')} expired` : ''));
}

function verdict(comparison) {
  const [onlyA, onlyB, changed] = [comparison.only('a'), comparison.only('b'), comparison.changed.length];
  return [
    outcome(comparison),
    onlyA ? h('span', { class: 'absent' }, `${plural(onlyA, 'step')} missing in B`) : null,
    onlyB ? h('span', { class: 'absent' }, `${plural(onlyB, 'step')} only in B`) : null,
    h('span', changed ? plural(changed, 'step differs', 'steps differ') : 'no step differs'),
  ];
}

// What is recorded of a chain that is open, or a part of one, says nothing of how long it takes.
function outcome({ chains, models }) {
  const letters = (is) => ['A', 'B'].filter((_, at) => is(at)).join(' and ');
  const open = letters((at) => models[at].opens.length);
  const parts = letters((at) => chains[at].expired || chains[at].next);
  if (parts) return h('b', { class: 'slower' }, `Only a part of ${parts} is compared`);
  if (open) return h('b', { class: 'slower' }, `${open} ${open.length > 1 ? 'are' : 'is'} open, as of ${clock(serverNow(), 0)}`);
  const gain = models[1].last - models[0].last;
  const took = Math.abs(gain) < LARGE_MS ? 'as long as A' : `${duration(Math.abs(gain))} ${gain > 0 ? 'longer' : 'less'}`;
  return h('b', { class: gain > 0 ? 'slower' : 'faster' }, `B took ${took}`);
}

function picker(ids) {
  const known = h('datalist', { id: 'known-chains' });
  const inputs = ['A', 'B'].map((letter, at) => {
    const label = `Correlation id of ${letter}`;
    const input = searchField({ 'aria-label': label, placeholder: label, list: 'known-chains', class: 'grow' });
    input.value = ids[at] ?? '';
    return input;
  });
  const node = h('form', { class: 'bar', role: 'search', onsubmit: (event) => {
    event.preventDefault();
    const wanted = inputs.map((input) => input.value.trim());
    const empty = wanted.findIndex((id) => !id);
    if (empty >= 0) inputs[empty].focus();
    else go(link('compare', wanted));
  } }, inputs, h('button', { type: 'submit' }, 'Compare'), known);
  get('correlations', { limit: 100 }).then((answer) => known.append(...answer.correlations.map((chain) =>
    h('option', { value: chain.correlation_id }, duration(chain.duration_ms))))).catch(() => {});
  return { node, focus: () => inputs[0].focus() };
}

// A step in both chains, or in one, and what it took in each.
class CompareRow {
  // `item(number)`: the pair of steps of a row; `longest`: ms that a bar of the whole width stands for.
  constructor(item, longest, ids) {
    this._item = item;
    this._longest = longest;
    this._ids = ids;
    const [step, left, right, difference] = [0, 1, 2, 3].map((at) => h('span', { role: 'cell', class: `cell d${at}` }));
    this._step = step;
    this._mark = h('span');
    this._operation = h('span', { class: 'operation' });
    this._name = h('a', { class: 'name go' });
    this._sides = [left, right].map((cell) => makeSide(cell));
    this._difference = difference;
    this._words = h('span');
    step.append(this._mark, this._operation, this._name);
    difference.append(this._words);
    this.node = h('div', { role: 'row', class: 'row' }, step, left, right, difference);
    opens(this.node, this._name);
  }

  fill(number) {
    const pair = this._item(number);
    const either = pair.a ?? pair.b;
    const entry = first(either);
    const source = visible(entry.source_id);
    this.node.className = `row ${pair.kind === 'both' ? '' : `only-${pair.kind}`}`;
    this._name.href = chainLink(pair.a ? this._ids[0] : this._ids[1]);
    this._step.style.paddingInlineStart = `${12 + 14 * Math.min(DEEP, either.depth)}px`;
    this._step.title = `${source}  ${visible(entry.operation)}  ${visible(entry.endpoint)}`;
    this._mark.className = `mark ${sourceClass(entry.source_id)}`;
    setText(this._mark, shorten(source, 24));
    setText(this._operation, visible(entry.operation));
    setText(this._name, visible(shorten(entry.endpoint, 200)));
    this._sides.forEach((side, at) => showSide(side, at ? pair.b : pair.a, this._longest, entry.source_id));
    this._difference.className = `cell d3 number ${pair.large ? (pair.by < 0 ? 'faster' : 'slower') : 'small'}`;
    setText(this._words, wordsOf(pair));
  }
}

function wordsOf({ a, b, kind, by, large }) {
  if (kind !== 'both') return kind === 'a' ? 'missing in B' : 'only in B';
  if (a.kind === 'pair' && b.kind === 'pair') {
    return Math.abs(by) < NONE_MS ? '=' : `${by > 0 ? '+' : ''}${duration(by)}${large ? ratio(a, b) : ''}`;
  }
  if (a.kind === b.kind) return '';
  return a.kind === 'open' ? 'open in A' : b.kind === 'open' ? 'open in B' : 'its entry is missing';
}

function ratio(a, b) {
  const times = (b.end - b.start) / (a.end - a.start);
  if (!Number.isFinite(times) || times <= 0 || (times > 0.67 && times < 1.5)) return '';
  return `  ×${times >= 10 ? Math.round(times) : times.toFixed(times < 1 ? 2 : 1)}`;
}

function makeSide(cell) {
  const bar = h('span', { class: 'bar-of' });
  const words = h('span', { class: 'number' });
  cell.append(h('span', { class: 'track' }, bar), words);
  return { cell, bar, words };
}

function showSide({ cell, bar, words }, step, longest, source) {
  cell.classList.toggle('absent', !step);
  bar.hidden = !step;
  if (!step) {
    setText(words, '–');
    return;
  }
  setText(words, { pair: duration(step.end - step.start), open: 'open', exit: 'exit only' }[step.kind]);
  const end = step.kind === 'open' ? longest : step.end;
  bar.className = `bar-of ${sourceClass(source)} ${step.kind}${step.failed ? ' failed' : ''}`;
  bar.style.left = `${(100 * step.start) / longest}%`;
  bar.style.width = `${Math.max(0, (100 * (end - step.start)) / longest)}%`;
}
