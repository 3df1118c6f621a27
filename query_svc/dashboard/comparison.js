// What two chains amount to beside each other: their steps, pair by pair, and which differ. Pure.

import { align } from './align.js';
import { model } from './pairing.js';

export const LARGE_MS = 1; // a difference below it, or below a tenth of the step, is not marked

export class Comparison {
  // `chains`: two, as the service has them.
  constructor(chains) {
    this.chains = chains;
    this.models = chains.map((chain) => model(chain.traces));
    this.pairs = align(...this.models.map((each) => each.bars)).map(judge);
    this.longest = Math.max(...this.models.map((each) => each.last), 1e-3);
  }

  // Of those that differ: which one by itself explains most; one that is open in only one, unless it waits for another.
  get largest() {
    const own = (pair) => Math.abs(pair.self) || 0;
    return this.changed.reduce((top, pair) => (top && own(top) >= own(pair) ? top : pair), null);
  }

  get changed() { return this.pairs.filter((pair) => pair.large); }

  // How many steps are only in 'a', or only in 'b'.
  only(which) {
    return this.pairs.filter((pair) => pair.kind === which).length;
  }

  // The number of the next pair that differs, or the one before; undefined: there is none.
  next(from, by) {
    for (let number = from + by; number >= 0 && number < this.pairs.length; number += by) {
      if (this.pairs[number].large || this.pairs[number].kind !== 'both') return number;
    }
    return undefined;
  }
}

// What a pair of steps amounts to: `by` is the difference of the whole step, `self` of what no inner step explains.
function judge({ a, b }) {
  if (!a || !b) return { a, b, kind: a ? 'a' : 'b', by: 0, self: 0, large: false };
  const self = b.self - a.self;
  if (a.kind !== 'pair' || b.kind !== 'pair') return { a, b, kind: 'both', by: NaN, self, large: a.kind !== b.kind };
  const [was, is] = [a.end - a.start, b.end - b.start];
  const by = is - was;
  return { a, b, kind: 'both', by, self, large: Math.abs(by) >= Math.max(LARGE_MS, 0.1 * Math.max(was, is)) };
}
