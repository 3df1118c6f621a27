// Which chains the list holds: the newest page, what scrolling brought below it, and what waits to be shown. Pure.

const MOST = 1_000; // chains that new ones are put on top of; then the list begins anew with the newest

export class ChainList {
  // `full`: chains of a full page.
  constructor(full) {
    this.newest = []; // the newest page, in order, and behind it what waits from pages before
    this.next = null; // where the chains below the last one begin; null: there are none
    this.torn = false; // chains may be missing between the newest page and what is known below it
    this._full = full;
    this._known = new Map(); // correlation id -> {id, chain, shown, left}; the view keeps its row there, too
    this._below = null; // where the chains below the newest page begin
    this._touched = new Set(); // ids of chains that got an entry since the newest page was read
  }

  get size() { return this._known.size; }

  get newestId() { return this.newest[0]?.chain.last_id ?? 0; } // of an entry

  get waiting() { return [...this].filter((known) => !known.shown && !known.left).length; }

  get longestMs() { return Math.max(1, ...[...this].map((known) => known.chain.duration_ms)); }

  [Symbol.iterator]() { return this._known.values(); }

  find(id) { return this._known.get(id); }

  // From the beginning, with this page.
  begin({ found, next }) {
    this._known.clear();
    this.newest = found.map((chain) => this._put(chain));
    this.next = next;
    this.settle();
  }

  // What lies below; gives what was not known.
  append({ found, next }) {
    this.next = next;
    const fresh = found.filter((chain) => !this._known.has(chain.correlation_id)).map((chain) => this._put(chain));
    for (const known of fresh) known.shown = true;
    return fresh;
  }

  touch(id) {
    if (this._known.has(id)) this._touched.add(id);
  }

  // To be taken before the newest page is read that is merged with them.
  takeTouched() {
    const touched = this._touched;
    this._touched = new Set();
    return touched;
  }

  // The newest page, read again; `whole`: it is all that the filter lets through. Gives what changed.
  merge({ found, next, whole }, touched) {
    const allChanged = found.every((chain) => this._hasChanged(chain));
    this.torn ||= this.size > MOST || (found.length >= this._full && allChanged);
    this._below = next;
    const before = this.newest;
    this.newest = found.map((chain) => this._put(chain));
    const page = new Set(this.newest);
    const gone = whole || !allChanged ? [...touched].map((id) => this.find(id)).filter((known) => known && !page.has(known)) : [];
    for (const known of gone) known.left = true;
    if (this.torn) this._forget((known) => !known.shown && !page.has(known));
    else this.newest.push(...before.filter((known) => !known.shown && !page.has(known)));
    return [...page, ...gone];
  }

  // Show all that waits and let go of what left; where the list is torn, of all but the newest page. Gives what is gone.
  settle() {
    const page = new Set(this.newest);
    const gone = this._forget((known) => known.left || (this.torn && !page.has(known)));
    this.newest = this.newest.filter((known) => !known.left);
    for (const known of this.newest) known.shown = true;
    if (this.torn) this.next = this._below; // scrolling reads again what is below
    this.torn = false;
    return gone;
  }

  _put(chain) {
    const id = chain.correlation_id;
    if (!this._known.has(id)) this._known.set(id, { id, chain, shown: false, left: false });
    return Object.assign(this._known.get(id), { chain, left: false });
  }

  // Whether something came for a chain since it was last read: what had nothing stands below all that had.
  _hasChanged(chain) {
    const known = this.find(chain.correlation_id)?.chain;
    return !known || known.trace_count + known.expired !== chain.trace_count + chain.expired;
  }

  _forget(which) {
    const gone = [...this].filter(which);
    for (const known of gone) this._known.delete(known.id);
    return gone;
  }
}
