// The head of a chain: its id, state and numbers, and three answers: where it is, what is slow, what is missing.

import { h, button, renew, setText } from './element.js';
import { count, duration, plural, shorten, visible } from './format.js';
import { copyButton, moment, stateMark, stateOf, STATES, STUCK_MS } from './marks.js';
import { first, lengthOf, ownOf, slowest, whereItIs } from './pairing.js';

const NAMED = 3;

export class ChainHead {
  // `back`: where the list is; null: the chain was saved, and no more comes.
  constructor({ record, back, say, choose }) {
    this._record = record;
    this._saved = back === null;
    this._say = say;
    this._choose = choose;
    this._told = ''; // its state, as far as it was told
    this._state = h('span', { class: 'chain-state' });
    this._numbers = h('span', { class: 'numbers' });
    this.answers = h('div', { class: 'facts', hidden: true });
    this.node = h('div', { class: 'chain-head' },
      this._saved ? null : h('a', { class: 'back', href: back, title: 'Chains' }, '‹ Chains'),
      h('h1', { title: visible(record.id) }, shorten(visible(record.id), 90)),
      this._saved ? null : copyButton('Copy id', record.id), this._state, this._numbers);
  }

  show(found, now) {
    const { expired, gone } = this._record;
    const complete = found.bars.length > 0 && !found.opens.length && !found.orphans.length;
    const quiet = this._saved ? Infinity : this._record.quiet;
    const stuck = quiet > STUCK_MS;
    this._showState(found, stateOf(rowOf(found, complete, expired || gone), quiet));
    renew(this._numbers, h('span', found.bars.length ? this._numbersOf(found, now) : null));
    renew(this.answers, h('div', facts({ model: found, now, complete, expired, gone, stuck, choose: this._choose })));
    this.answers.hidden = !found.bars.length;
  }

  fail(message) {
    setText(this._numbers, message);
  }

  _showState(found, state) {
    const { reading } = this._record;
    renew(this._state, h('span', found.bars.length ? stateMark(state) : null));
    if (this._told && this._told !== state && !reading) this._say(`${STATES[state][1]}, ${duration(found.last)}`);
    this._told = reading ? '' : state;
  }

  _numbersOf(found, now) {
    const { cut, expired, gone, reading } = this._record;
    const hosts = new Set(found.bars.map((bar) => bar.host));
    const left = expired ? `${count(found.entries.length)} of ` : '';
    return [
      h('span', found.opens.length && !gone ? `open ${duration(now - found.last + found.lasted)}` : duration(found.last)),
      h('span', `${left}${plural(found.entries.length + expired, 'entry', 'entries')}`),
      h('span', plural(found.groups.length, 'source')),
      h('span', plural(hosts.size, 'host')),
      moment(found.origin),
      gone ? h('strong', 'expired meanwhile') : null,
      cut ? h('strong', 'and more than this page can hold') : reading ? h('strong', 'loading more …') : null,
    ];
  }
}

// As a row of the list would tell of it.
function rowOf({ errors, opens, orphans }, complete, expired) {
  return { errors: errors.length, complete: expired ? null : complete, open: opens.length - orphans.length };
}

// `chain`: {model, now, complete, expired, gone, stuck, choose}; `gone`: nothing of it is stored any more.
function facts(chain) {
  const { clocks } = chain.model;
  return [
    fact('Where', where(chain)), fact('Slow', slow(chain)), fact('Missing', missing(chain)),
    ...(clocks.length ? [fact('Clocks', ['warn whole', differences(clocks)])] : []),
  ];
}

function fact(name, [kind, ...parts]) {
  return h('div', { class: `fact ${kind}` }, h('h2', name), h('p', parts));
}

function where({ model, now, complete, expired, gone, stuck, choose }) {
  const leaves = whereItIs(model);
  const lasted = `${duration(model.lasted)}${model.clocks.length ? ' by one clock' : ''}`;
  if (!leaves.length && expired) return ['calm', `none of what is left is open; it spans ${lasted}`];
  if (!leaves.length) return ['calm', complete ? `done, after ${lasted}` : `nothing is open, after ${lasted}`];
  if (gone) return ['calm', 'its entries have expired; until then it was open in ', ...named(leaves, choose)];
  const parts = leaves.slice(0, NAMED).flatMap((bar, at) => [at ? '; ' : stuck ? 'stopped in ' : 'in ', step(bar, choose), host(model, bar), stuck ? ', open for ' : ' for ', duration(lengthOf(bar, now)), ...(bar.around ? [', though ', step(bar.around, choose), ' has ended'] : [])]);
  if (leaves.length > NAMED) parts.push(`, and ${count(leaves.length - NAMED)} more`);
  return [stuck ? 'warn' : 'open', ...parts];
}

function slow({ model, expired, choose }) {
  const bar = slowest(model);
  if (!bar || ownOf(bar) <= 0) return ['calm', bar ? 'no step took time of its own' : 'no step has ended yet'];
  const share = Math.round((100 * ownOf(bar)) / (model.lasted || 1));
  return [share >= 50 ? 'slow' : 'calm', step(bar, choose), `${bar.kind === 'open' ? ', waited for' : ' itself'} ${duration(ownOf(bar))}`, share >= 1 && share <= 100 ? `, ${share} % of ${expired ? 'what is left' : 'the whole'}` : ''];
}

function missing({ model, expired, choose }) {
  const parts = [];
  const add = (...more) => parts.push(...(parts.length ? ['; '] : []), ...more);
  if (expired) add(expired === 1 ? 'the first entry, which has expired' : `the first ${count(expired)} entries, which have expired`);
  if (model.opens.length) add(`${plural(model.opens.length, 'exit')} of `, ...named([...model.opens].reverse(), choose));
  if (model.orphans.length) add(`${plural(model.orphans.length, 'entry', 'entries')} of `, ...named(model.orphans, choose), `, though ${model.orphans.length > 1 ? 'their exits' : 'its exit'} arrived`);
  if (model.errors.length) add(h('span', { class: 'bad' }, plural(model.errors.length, 'error')), ' in ', ...named(model.errors.toSorted((a, b) => b.depth - a.depth), choose)); // innermost first: where it came from
  if (!parts.length) return ['calm', 'nothing: each entry has its exit'];
  return [model.errors.length ? 'bad' : model.opens.length || (model.orphans.length && !expired) ? 'warn' : 'calm', ...parts];
}

function named(bars, choose) {
  const alike = [...Map.groupBy(bars, (bar) => bar.step).values()];
  const parts = alike.slice(0, NAMED).flatMap(([bar, ...more], at) => [at ? ', ' : '', step(bar, choose), more.length ? ` ×${count(more.length + 1)}` : '']);
  return alike.length > NAMED ? [...parts, ` and ${count(alike.length - NAMED)} more`] : parts;
}

// Which of the hosts of a source, where it has several.
function host({ groups }, bar) {
  const { hosts } = groups.find((group) => group.source === bar.source);
  return hosts.size > 1 ? ` on ${shorten(visible(bar.host), 40)}` : '';
}

function differences(clocks) {
  const name = (host) => shorten(visible(host), 40);
  const parts = clocks.slice(0, NAMED).map(({ host, other, ms, late }) =>
    `the clock of ${name(host)} is about ${duration(Math.abs(ms))} ${ms > 0 ? 'ahead of' : 'behind'} that of ${name(other)}${late ? `, or entries of ${name(ms > 0 ? other : host)} came late` : ''}`);
  if (clocks.length > NAMED) parts.push(`${count(clocks.length - NAMED)} more differ`);
  return `${parts.join('; ')}, as far as this chain shows it`;
}

function step(bar, choose) {
  const entry = first(bar);
  const words = shorten(visible(entry.endpoint || entry.operation), 32);
  return button(`${shorten(visible(entry.source_id), 20)} ${words}`, `Select ${visible(`${entry.source_id} ${entry.operation} ${entry.endpoint}`)}`, () => choose(bar), { class: 'link' });
}
