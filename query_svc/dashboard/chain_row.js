// A row of the list of chains: what is known of one chain, and how long ago it was heard of.

import { h, opens, setText } from './element.js';
import { age, clock, count, duration, plural, shorten, utc, visible } from './format.js';
import { mark, quietMs, stateMark, stateOf } from './marks.js';
import { chainLink } from './router.js';

const MARKS = 8; // of sources in a row; the rest is a number

export const COLUMNS = ['State', 'Correlation id', 'Sources', 'Entries', 'Duration', 'Age'];

export class ChainRow {
  // `known`: what the list knows of the chain, now and later.
  constructor(known) {
    const { id } = known;
    const shown = visible(id);
    const cell = (at, ...more) => h('span', { role: 'cell', class: `cell k${at}${at > 2 ? ' number' : ''}` }, more);
    this._known = known;
    this._state = cell(0);
    this._sources = cell(2);
    this._entries = cell(3);
    this._fill = h('span', { class: 'fill' });
    this._duration = h('span');
    this._age = cell(5);
    this._sourcesShown = '';
    this._entriesShown = known.chain.trace_count;
    const link = h('a', { class: 'id go', href: chainLink(id), title: shown }, shorten(shown, 64));
    this.node = h('div', { role: 'row', class: 'row', 'data-id': id },
      this._state, cell(1, link), this._sources, this._entries, cell(4, this._fill, this._duration), this._age);
    opens(this.node, link);
    this.update();
  }

  update() {
    const { chain } = this._known;
    if (chain.sources.join() !== this._sourcesShown) this._showSources(chain.sources);
    setText(this._entries, count(chain.trace_count));
    this._entries.classList.toggle('one', chain.trace_count === 1);
    this._entries.title = chain.expired ? `${plural(chain.expired, 'earlier entry has', 'earlier entries have')} expired` : '';
    this._age.title = `newest entry ${clock(chain.last_ts)}\n${utc(chain.last_ts)}`;
    if (chain.trace_count !== this._entriesShown) {
      this._entriesShown = chain.trace_count;
      this.node.classList.remove('touched');
      requestAnimationFrame(() => this.node.classList.add('touched'));
    }
    this.tick();
  }

  // What changes with time alone.
  tick() {
    const { chain, left } = this._known;
    const now = left ? 'left' : stateOf(chain);
    if (this._state.dataset.state !== now) {
      this._state.dataset.state = now;
      this._state.replaceChildren(left ? 'state changed' : stateMark(now));
    }
    if (left) return;
    const open = chain.complete === false && now !== 'alone';
    setText(this._duration, open ? `open ${duration(Math.max(1_000, chain.duration_ms + quietMs(chain)))}` : duration(chain.duration_ms));
    this._fill.hidden = open;
    setText(this._age, age(quietMs(chain)));
  }

  scale(longestMs) {
    this._fill.style.width = `${Math.round(100 * Math.sqrt(this._known.chain.duration_ms / longestMs))}%`;
  }

  _showSources(sources) {
    this._sourcesShown = sources.join();
    const rest = sources.length - MARKS;
    const title = sources.slice(MARKS).map(visible).join('\n');
    this._sources.replaceChildren(...sources.slice(0, rest > 1 ? MARKS : MARKS + 1).map((source) => mark(source, 'wide')),
      ...(rest > 1 ? [h('span', { class: 'more', title }, `+${rest}`)] : []));
  }
}
