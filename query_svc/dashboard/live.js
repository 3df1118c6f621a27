// The one EventSource of this tab. It knows where it is in the order of commits, so that nothing is missed unsaid:
// after a cut it goes on from there, or says how much it passed over.

import { address, get, pageVersion, PATIENCE_MS, Refused, Unready } from './api.js';

const CATCH_UP = 20_000; // entries that a reader is made to go through after a cut; more are passed over, and counted
const ASLEEP_MS = 5_000; // hidden for so long, a tab gives its connection back: browsers have six for each server
const RETRY_MS = [300, 1_000, 2_000, 4_000, 5_000];
const TIMEOUT = '{"type":"timeout"}';
const VERSION = import.meta.url.split('/').at(-2); // of the files of this page

export class Live {
  constructor() {
    this.onstate = () => {}; // 'open' | 'lost' | 'asleep' | 'held' | 'idle' | 'refused'
    this.onback = () => {}; // {lostAt, missed, passedOver, upgraded}; `missed` counts entries of all chains; null: this view had not begun
    this.newest = 0; // the highest row id known here
    this.old = 0; // up to this row id all came before the stream was there
    this.state = 'asleep';
    this._wanted = null;
    this._source = null;
    this._timer = 0;
    this._sleep = 0;
    this._attempt = 0; // the latest; an earlier one opens nothing any more
    document.addEventListener('visibilitychange', () => this._visibility());
    addEventListener('online', () => this.retry());
    addEventListener('pagehide', () => this._giveBack());
    addEventListener('pageshow', () => this._wake());
  }

  // Follow a stream: {path, parameters, from, opened(), entry(text, id), again(why)}. Replaces what was followed before.
  follow(wanted) {
    this._leave();
    this._wanted = wanted && { ...wanted, position: wanted.from ?? null };
    this._tries = 0;
    if (wanted) this._connect();
    else {
      this._lostAt = this._slept = 0;
      this._set('idle');
    }
  }

  // Whether each entry that is committed comes by, so that `newest` is the newest there is.
  get isWhole() {
    return this.state === 'open' && !this._wanted.chain && !Object.values(this._wanted.parameters ?? {}).some(Boolean);
  }

  retry() {
    if (this.state === 'lost') {
      this._close();
      this._connect();
    }
  }

  // Leave the stream where it is.
  hold() {
    this._leave();
    this._set('held');
  }

  async _connect() {
    const wanted = this._wanted;
    const mine = (this._attempt += 1);
    try {
      const stats = await get('stats');
      if (mine !== this._attempt) return;
      const note = this._whereToGoOn(wanted, stats);
      await this._noteVersion(note);
      if (mine !== this._attempt) return;
      if (document.hidden) this._rest(); // tabs opened behind this one would take all connections before they are looked at
      else this._open(wanted, note);
    } catch (error) {
      if (mine !== this._attempt) return;
      if (error instanceof Refused) this._set('refused');
      else this._lost(error instanceof Unready ? error.message : '');
    }
  }

  _whereToGoOn(wanted, stats) {
    const newest = stats.newest_id;
    this.newest = this.old = newest;
    const note = { missed: wanted.position === null ? null : 0, passedOver: false, upgraded: false };
    if (wanted.position === null) wanted.position = newest;
    else if (wanted.position > newest) { wanted.position = newest; wanted.again?.('replaced'); }
    else if (this._lostAt || this._slept) {
      note.missed = newest - wanted.position;
      if (note.missed > CATCH_UP && !wanted.chain) {
        note.passedOver = true;
        wanted.position = newest;
        wanted.again?.('passed over');
      }
    }
    return note;
  }

  async _noteVersion(note) {
    if (!this._lostAt) return;
    const version = await pageVersion();
    note.upgraded = version !== null && !version.includes(VERSION); // a proxy may add to it
  }

  _open(wanted, note) {
    this._close();
    const parameters = { ...wanted.parameters, timeout: 3600, last_event_id: wanted.position };
    const source = new EventSource(address(wanted.path, parameters));
    this._source = source;
    this._timer = setTimeout(() => this._cut('the stream did not start; a proxy may be buffering it'), PATIENCE_MS);
    source.onopen = () => {
      clearTimeout(this._timer);
      this._tries = 0;
      const lostAt = this._lostAt;
      this._lostAt = this._slept = 0;
      this._set('open');
      wanted.opened?.();
      if (lostAt) this.onback({ ...note, lostAt });
    };
    source.onmessage = (event) => {
      if (event.data === TIMEOUT) {
        this._close(); // its end is no loss
        return this._connect();
      }
      const id = Number(event.lastEventId);
      wanted.position = id;
      if (id > this.newest) this.newest = id;
      return wanted.entry(event.data, id);
    };
    source.addEventListener('gap', (event) => wanted.gap?.(JSON.parse(event.data)));
    source.addEventListener('reset', () => { wanted.position = this.newest = this.old = 0; wanted.again?.('replaced'); });
    source.onerror = () =>
      this._cut(source.readyState === EventSource.CLOSED ? 'the stream was refused; too many may be open' : '');
  }

  // Something else had no answer: a stream that hangs says nothing of it.
  doubt() {
    if (this.state === 'open') this._cut();
  }

  _cut(why) {
    this._close();
    this._lost(why);
  }

  _lost(why = '') {
    this._lostAt ||= Date.now();
    this._timer = setTimeout(() => this._connect(), RETRY_MS[Math.min(this._tries, RETRY_MS.length - 1)]);
    this._tries += 1;
    this._set('lost', why);
  }

  // Give up the stream, and whatever is under way towards one.
  _leave() {
    this._attempt += 1;
    this._close();
  }

  _close() {
    clearTimeout(this._timer);
    this._source?.close();
    this._source = null;
  }

  _set(state, why) {
    this.state = state;
    this.onstate(state, this._lostAt, why);
  }

  _visibility() {
    clearTimeout(this._sleep);
    if (document.hidden) {
      this._sleep = setTimeout(() => this._giveBack(), ASLEEP_MS);
    } else this._wake();
  }

  _giveBack() {
    if (this._source) this._rest();
  }

  _rest() {
    this._close();
    this._slept = true;
    this._set('asleep');
  }

  _wake() {
    if (this.state === 'asleep' && this._slept) this._connect();
    else this.retry();
  }
}
