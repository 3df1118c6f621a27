// The entries of one chain, each once, whichever way it came.

import { chainPath, get, serverNow } from './api.js';

const MOST = 200_000; // entries that a page holds
const LOOKS = 25; // pages of chains whose ids hold this one that are looked through for it

// What tells an entry from the others of its chain.
export function keyOf(entry) {
  return `${entry.timestamp} ${entry.suffix}`;
}

export class ChainRecord {
  constructor(id) {
    this.id = id;
    this.forget();
  }

  static of(saved) {
    const record = new ChainRecord(saved.id);
    for (const entry of saved.entries) record.add(entry);
    Object.assign(record, { expired: saved.expired, loaded: true, reading: false, frozenAt: saved.now });
    return record;
  }

  // Read what the file holds; `some` is called when the first page is there.
  async load(signal, some) {
    let after = null;
    do {
      const page = await get(chainPath(this.id), { after }, signal);
      this.expired = page.expired;
      for (const entry of page.traces) this.add(entry);
      this.loaded = true;
      after = page.next;
      this.cut = after !== null && this.entries.length >= MOST;
      this.reading = after !== null && !this.cut;
      some();
    } while (after !== null && !this.cut);
  }

  // Whether it is new; its row id, where that is known, is noted either way.
  add(entry, rowId) {
    const key = keyOf(entry);
    const had = this._had.get(key);
    if (rowId) this.arrived.set(had ?? entry, rowId);
    if (had) return false;
    if (this.entries.length >= MOST) {
      this.cut = true;
      return false;
    }
    this._had.set(key, entry);
    this.entries.push(entry);
    if (entry.timestamp > this.last) this.last = entry.timestamp;
    return true;
  }

  // Ask whether it is still stored; else it stands still.
  async look(signal) {
    const had = this.entries.length;
    const { count } = await get(chainPath(this.id), { limit: 1 }, signal);
    if (!count && had === this.entries.length) Object.assign(this, { gone: true, frozenAt: this.now() });
  }

  arrivedNow() {
    this._arrived = serverNow();
  }

  forget() {
    this.entries = [];
    this.expired = 0;
    this.cut = false; // there is more than a page can hold
    this.loaded = false;
    this.reading = true; // further pages
    this.last = 0; // the latest timestamp
    this.gone = false; // nothing of it is stored any more
    this.frozenAt = null;
    this.arrived = new Map(); // entry -> row id, of those that came by the stream
    this._had = new Map(); // key -> entry
    this._arrived = null; // when the newest came, by the server's clock
  }

  // Now by the chain's own clock: its newest entry, and how long ago that arrived. A sender's clock may be years off.
  now() {
    if (!this.entries.length) return serverNow();
    if (this.frozenAt) return this.frozenAt;
    return this.last + this.quiet;
  }

  get quiet() {
    return Math.max(0, serverNow() - (this._arrived ?? this.last));
  }

  // Ask when the newest entry arrived: of what comes late by a stream nobody else knows it.
  async whenItArrived(signal) {
    let row = null;
    let before = null;
    for (let look = 0; this.entries.length && look < LOOKS && !row; look += 1) {
      const page = await get('correlations', { q: this.id, limit: 100, before }, signal);
      row = page.correlations.find((each) => each.correlation_id === this.id);
      before = page.next;
      if (before === null) break;
    }
    if (row?.arrived_ts > (this._arrived ?? 0)) this._arrived = row.arrived_ts;
  }
}
