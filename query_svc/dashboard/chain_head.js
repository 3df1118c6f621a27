// The head of a chain: its id, its state and numbers, and what it is about in three answers.

import { h, renew, setText } from './element.js';
import { facts } from './facts.js';
import { count, duration, plural, shorten, visible } from './format.js';
import { copyButton, moment, stateMark, stateOf, STATES, STUCK_MS } from './marks.js';

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
    const { expired } = this._record;
    const complete = found.bars.length > 0 && !found.opens.length && !found.orphans.length;
    const quiet = this._saved ? Infinity : this._record.quiet;
    const stuck = quiet > STUCK_MS;
    this._showState(found, stateOf(rowOf(found, complete, expired), quiet));
    renew(this._numbers, h('span', {}, found.bars.length ? this._numbersOf(found) : null));
    renew(this.answers, h('div', {}, facts(found, { now, complete, expired, stuck, choose: this._choose })));
    this.answers.hidden = !found.bars.length;
  }

  fail(message) {
    setText(this._numbers, message);
  }

  _showState(found, state) {
    const { reading } = this._record;
    renew(this._state, h('span', {}, found.bars.length ? stateMark(state) : null));
    if (this._told && this._told !== state && !reading) this._say(`${STATES[state][1]}, ${duration(found.last)}`);
    this._told = reading ? '' : state;
  }

  _numbersOf(found) {
    const { cut, expired, reading } = this._record;
    const hosts = new Set(found.groups.flatMap((group) => [...group.hosts]));
    const left = expired ? `${count(found.entries.length)} of ` : '';
    return [
      h('span', {}, duration(found.last)),
      h('span', {}, `${left}${plural(found.entries.length + expired, 'entry', 'entries')}`),
      h('span', {}, plural(found.groups.length, 'source')),
      h('span', {}, plural(hosts.size, 'host')),
      moment(found.origin),
      cut ? h('strong', {}, 'and more than this page can hold') : reading ? h('strong', {}, 'loading more …') : null,
    ];
  }
}

// As a row of the list would tell of it.
function rowOf({ errors, opens, orphans }, complete, expired) {
  return { errors: errors.length, complete: expired ? null : complete, open: opens.length - orphans.length };
}
