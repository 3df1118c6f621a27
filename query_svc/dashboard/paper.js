// A chain on paper, made when it is printed: the steps in sight of the timeline, each on a line with its bar.

import { h } from './element.js';
import { took } from './details.js';
import { count, duration, plural, shorten, utc, visible } from './format.js';
import { first } from './pairing.js';
import { offset } from './span.js';
import { sourceClass } from './theme.js';

const MOST = 2_000; // steps, on some sixty pages
const DEEP = 12; // levels that are set in
const COLUMNS = ['From', 'Source', 'Step', '', 'Took'];

export class Paper {
  constructor(timeline) {
    this.node = h('div', { class: 'paper' });
    this._timeline = timeline;
    this._fill = () => this.node.replaceChildren(...this._contents());
    this._empty = () => this.node.replaceChildren();
    addEventListener('beforeprint', this._fill);
    addEventListener('afterprint', this._empty);
  }

  dispose() {
    removeEventListener('beforeprint', this._fill);
    removeEventListener('afterprint', this._empty);
  }

  _contents() {
    const { model: { bars, opens, origin }, span, end } = this._timeline;
    if (!bars.length) return [];
    const inSight = bars.filter((bar) => bar.start <= span.end && bar.end >= span.start);
    const shown = inSight.slice(0, MOST);
    const all = shown.length < bars.length ? ` of ${count(bars.length)}, from ${offset(Math.max(0, span.start), 1)} on` : '';
    return [
      h('p', `${plural(shown.length, 'step')}${all}. Times are from ${utc(origin)} on.`,
        opens.length ? ` What is open is so as of ${utc(origin + end)}.` : ''),
      h('table', h('thead', h('tr', COLUMNS.map((name) => h('th', name)))),
        h('tbody', shown.map((bar) => line(bar, span, end)))),
    ];
  }
}

function line(bar, span, end) {
  const step = first(bar);
  const name = h('td', h('span', { class: 'operation' }, visible(step.operation)), ' ', shorten(visible(step.endpoint), 200));
  name.style.paddingInlineStart = `${Math.min(DEEP, bar.depth)}em`;
  return h('tr', h('td', `+${duration(bar.start)}`), h('td', shorten(visible(step.source_id), 40)), name,
    h('td', h('span', { class: 'track' }, picture(bar, span))), h('td', took(bar, end), bar.failed ? ', error' : ''));
}

function picture(bar, span) {
  const share = (at) => Math.max(0, Math.min(100, (100 * (at - span.start)) / span.length));
  const node = h('span', { class: `bar-of ${sourceClass(bar.source)} ${bar.kind}${bar.failed ? ' failed' : ''}` });
  node.style.left = `${share(bar.start)}%`;
  node.style.width = `${share(bar.end) - share(bar.start)}%`;
  return node;
}
