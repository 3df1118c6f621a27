// The entries that the tab keeps of a tail, as text, with notes between them. While the stream is held, what comes is told
// by the row ids or, where a filter chooses among them, counted and let go.

const MOST = 10_000; // entries that the tab keeps
const SLACK = 1_000; // dropped together

export class TailBuffer {
  constructor(filtered) {
    this.filtered = filtered;
    this.first = 0; // number of the oldest item; numbers never change
    this.held = null; // 'pause': somebody asked; 'full': no room
    this.position = Infinity; // row id of the newest entry that is kept or passed over, once that is known
    this.came = 0;
    this._items = [];
    this._counted = 0; // that came while held and pass the filter
    this._passed = 0; // row id of the newest of these
  }

  get length() { return this._items.length; }

  get end() { return this.first + this.length; }

  get isEmpty() { return this._items.every((item) => item.note); }

  get isFull() { return this.length >= MOST; }

  get isOverfull() { return this.length >= MOST + SLACK; }

  at(number) { return this._items[number - this.first]; }

  push(item) {
    this._items.push(item);
  }

  // Of the stream; whether it is to be pushed.
  take(id) {
    if (id <= this.position) return false;
    if (this.held) {
      this._counted += 1;
      this._passed = id;
      return false;
    }
    this.position = id;
    this.came += 1;
    return true;
  }

  keep(newest = MOST) {
    const gone = Math.max(0, this.length - newest);
    this._items.splice(0, gone);
    this.first += gone;
  }

  hold(why) {
    this.held = why;
    this._counted = 0;
    this._passed = 0;
  }

  // How many came while held; `newest`: the row id of the newest entry there is.
  missed(newest) {
    return this.filtered ? this._counted : Math.max(0, newest - this.position);
  }

  // Go on behind what came while held.
  passOver(newest) {
    this.held = null;
    this.position = Math.max(this.position, this.filtered ? this._passed : newest);
  }
}
