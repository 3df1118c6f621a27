// Which sources are active, how much they send, how long their steps take, who follows whom.

import { h, atMostEvery, renew, setText } from './element.js';
import { get } from './api.js';
import { drawMap, followsTable } from './follows.js';
import { duration, plural, rate, shorten, visible } from './format.js';
import { counted, curlLine, mark, nothing } from './marks.js';
import { given, link } from './router.js';
import { step } from './keyboard.js';
import { Steps } from './steps.js';

const REFRESH_MS = 5_000;
const BEGIN_MS = 500; // while there is nothing, the first entry shows soon

export class SourcesView {
  constructor(context, route) {
    this.title = 'Sources';
    this.help = [['m', 'to the next source on the map']];
    this.keys = {
      '/': () => this._steps.search.focus(),
      j: () => this._steps.rows.step(1),
      k: () => this._steps.rows.step(-1),
      m: () => step([...this._map.querySelectorAll('a')], 1),
    };
    this._live = context.live;
    this._steps = new Steps(given(route.query, { q: '', sort: 'calls' }));
    this._asked = 0; // times; the last answer counts
    this._came = false; // an entry, since the view is open
    this._mapped = ''; // what the map shows
    this._refresh = atMostEvery(REFRESH_MS, () => this._load());
    this._begin = atMostEvery(BEGIN_MS, () => this._load());
    this._ticking = setInterval(() => { if (!document.hidden) this._refresh(); }, REFRESH_MS); // who fell silent is no longer active
    this.node = this._build();
  }

  _build() {
    this._talkers = h('ul', { class: 'talkers', 'aria-label': 'Sources' });
    this._map = h('div', { class: 'map-room', tabindex: 0, role: 'region', 'aria-label': 'Map of who follows whom' });
    this._table = h('details', { class: 'as-table' }, h('summary', 'The map as a table'));
    this._window = h('p', { class: 'windowed' }, 'Counting …');
    this._empty = h('div');
    this._full = h('div', { class: 'sources-room' },
      h('div', { class: 'sources-top' },
        h('section', { 'aria-labelledby': 'who' }, h('h2', { id: 'who' }, 'Active sources'),
          h('p', { class: 'quiet' }, 'Calls in the window, entries per second'), this._talkers),
        h('section', { 'aria-labelledby': 'whom' }, h('h2', { id: 'whom' }, 'Who follows whom'),
          h('p', { class: 'quiet' }, 'How often an entry of one source directly followed one of another in the same chain'),
          this._map, this._table)),
      h('section', { class: 'steps-room', 'aria-labelledby': 'long' },
        h('div', { class: 'bar' }, h('h2', { id: 'long' }, 'How long steps take'), this._steps.search),
        this._window, this._steps.rows.node));
    return h('section', { class: 'view sources-view', 'aria-label': 'Sources' }, this._empty, this._full);
  }

  start() {
    const entry = () => {
      this._came = true;
      if (this._full.hidden) this._begin();
      else this._refresh();
    };
    this._live.follow({ path: 'stream', entry, again: () => this._load() });
    this._refresh();
  }

  stop() {
    clearInterval(this._ticking);
    this._refresh.cancel();
    this._begin.cancel();
    this._steps.rows.dispose();
    this._asked += 1;
  }

  async _load() {
    const mine = (this._asked += 1);
    try {
      const answers = await Promise.all(['stats/sources', 'stats/endpoints', 'stats/follows'].map((path) => get(path)));
      if (mine === this._asked) this._show(...answers);
    } catch (error) {
      setText(this._window, error.message);
    }
  }

  // null: this server has no such figures.
  _show(sources, endpoints, follows) {
    const none = !sources?.sources.length && !endpoints?.endpoints.length;
    this._full.hidden = none;
    if (none && this._came) this._begin(); // answers may be a second old
    this._empty.replaceChildren(...(none ? [emptiness()] : []));
    showTalkers(this._talkers, sources?.sources ?? [], endpoints?.endpoints ?? []);
    this._showFollows(follows?.follows ?? []);
    setText(this._window, windowWords(endpoints));
    this._steps.show(endpoints?.endpoints ?? []);
  }

  _showFollows(follows) {
    const now = JSON.stringify(follows);
    if (now === this._mapped || this._map.contains(document.activeElement) || this._map.matches(':hover')) return;
    this._mapped = now;
    this._map.replaceChildren(follows.length ? drawMap(follows) : h('p', { class: 'hint' }, 'No source has followed another yet.'));
    this._table.hidden = !follows.length;
    this._table.replaceChildren(this._table.firstChild, followsTable(follows));
  }
}

function emptiness() {
  return nothing('No active sources',
    h('p', 'No entries in the last hour. A source appears here as soon as it sends one:'), curlLine());
}

// Which of the limits applied.
function windowWords(answer) {
  if (!answer) return 'This server has no duration figures.';
  const pairs = `${plural(answer.pairs, 'pair')} of entry and exit`;
  const span = `${duration(answer.window_s * 1000)} of the last hour`;
  if (answer.limited_by === 'pairs') return `The last ${pairs}, the maximum: ${span}.`;
  if (answer.limited_by === 'entries') return `The last ${pairs} among the newest entries, the maximum: ${span}.`;
  return `The last hour: ${pairs}.`;
}

// How many calls each source had in the window, and how many entries a second it sends.
function showTalkers(list, sources, endpoints) {
  const found = talkers(sources, endpoints);
  const most = Math.max(1, ...found.map((each) => each.calls));
  renew(list, h('ul', found.map((each) => talker(each, most))));
}

// Rates are of the last minute, calls of the window: who was silent for a minute is still here.
function talkers(sources, endpoints) {
  const found = new Map(sources.map(({ source_id: source, rate: perSecond }) => [source, { source, perSecond, calls: 0 }]));
  for (const { source_id: source, calls } of endpoints) {
    const one = found.get(source) ?? { source, perSecond: 0, calls: 0 };
    one.calls += calls;
    found.set(source, one);
  }
  return [...found.values()].sort((a, b) => b.perSecond - a.perSecond || b.calls - a.calls);
}

function talker({ source, perSecond, calls }, most) {
  return h('li', h('a', { href: link('chains', [], { source }), title: `${visible(source)}: its chains` }, mark(source),
    h('span', { class: 'name' }, shorten(visible(source), 60)),
    h('span', { class: 'number' }, counted(calls, most)),
    h('span', { class: 'number', title: 'Entries per second over the last minute' }, rate(perSecond))));
}
