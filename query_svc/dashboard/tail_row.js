// A row of the tail: an entry, or a note on what is missing. It is filled again and again.

import { h, opens, setText, tableHead } from './element.js';
import { parse, serverNow } from './api.js';
import { clock, shorten, utc, visible } from './format.js';
import { reportsError } from './pairing.js';
import { chainLink } from './router.js';
import { sourceClass } from './theme.js';

const COLUMNS = ['Time', 'Source', '', 'Operation', 'Endpoint', 'Correlation id', 'Data'];
const NEAR_MS = 12 * 3_600_000;

export function tailHead() {
  return tableHead(COLUMNS.with(2, h('span', { class: 'offscreen' }, 'Direction')), 't');
}

export class TailRow {
  // `item(number)`: what is kept under a number.
  constructor(item) {
    this._item = item;
    this._cells = COLUMNS.map((_, at) => h('span', { role: 'cell', class: `cell t${at}` }));
    this._mark = h('span');
    this._chain = h('a', { class: 'go' });
    this._cells[1].append(this._mark);
    this._cells[5].append(this._chain);
    this._texts = this._cells.with(1, this._mark).with(5, this._chain); // where each text goes
    this.node = h('div', { role: 'row', class: 'row', tabindex: -1 }, this._cells);
    opens(this.node, this._chain);
  }

  fill(number) {
    const item = this._item(number);
    const entry = typeof item === 'string' ? parse(item) : item;
    if (entry.note) this._showNote(entry.note);
    else this._showEntry(entry);
  }

  _showNote(note) {
    this.node.className = 'row note';
    this._chain.removeAttribute('href');
    this._mark.className = '';
    this._write(['', '', '', '', note, '', '']);
  }

  _showEntry(entry) {
    const [time, source, arrow, , endpoint, id] = this._cells;
    const into = entry.direction === '->';
    this.node.className = reportsError(entry) ? 'row failed' : 'row';
    this._chain.href = chainLink(entry.correlation_id);
    this._mark.className = `mark ${sourceClass(entry.source_id)}`;
    time.title = `${clock(entry.timestamp)}\n${utc(entry.timestamp)}`;
    source.title = visible(entry.source_id);
    arrow.title = into ? 'entry' : 'exit';
    endpoint.title = visible(entry.endpoint);
    id.title = visible(entry.correlation_id);
    this._write([
      when(entry.timestamp), visible(entry.source_id), into ? '→' : '←', visible(entry.operation),
      visible(shorten(entry.endpoint, 300)), visible(shorten(entry.correlation_id, 64)),
      entry.data ? visible(shorten(JSON.stringify(entry.data), 240)) : '',
    ]);
  }

  _write(texts) {
    texts.forEach((text, at) => setText(this._texts[at], text));
  }
}

// The time alone would be taken for one of today, or of last night.
function when(ms) {
  const whole = clock(ms);
  if (Math.abs(serverNow() - ms) < NEAR_MS) return whole.slice(-12);
  return whole.replace(/^\d+-(\d\d-\d\d \d\d:\d\d).*/, '$1').slice(-12);
}
