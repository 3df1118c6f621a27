// What two chains amount to beside each other: their steps, pair by pair, and which differ. Pure.

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

// Step by step: the n-th of a way, its own below that of what called it, in one and in the other. What is left over goes
// together by the step alone, as calls in another order may nest differently, or but for its numbers, as of versions and ids.
// [{a, b}] in the order of a; what only b has stands behind the step that it came after.
function align(aBars, bBars) {
  const partner = new Map(); // bar of b -> bar of a
  match(aBars, bBars, wayOf(), partner);
  for (const key of [(bar) => bar.step, (bar) => bar.step.replace(/\d+/g, '#')]) {
    const taken = new Set(partner.values());
    match(aBars.filter((bar) => !taken.has(bar)), bBars.filter((bar) => !partner.has(bar)), key, partner);
  }
  return weave(aBars, bBars, partner);
}

function match(aBars, bBars, key, partner) {
  const waiting = Map.groupBy(aBars.toReversed(), key);
  for (const bar of bBars) {
    const found = waiting.get(key(bar))?.pop();
    if (found) partner.set(bar, found);
  }
}

// Ways as numbers: the same number for the same step below the same way, however deep.
function wayOf() {
  const numbers = new Map();
  const known = new Map();
  return function way(bar) {
    const chain = [];
    for (let at = bar; at && !known.has(at); at = at.parent) chain.push(at);
    for (const each of chain.reverse()) {
      const name = `${each.parent ? known.get(each.parent) : 0}\0${each.step}`;
      if (!numbers.has(name)) numbers.set(name, numbers.size + 1);
      known.set(each, numbers.get(name));
    }
    return known.get(bar);
  };
}

function weave(aBars, bBars, partner) {
  const behind = new Map(); // bar of a, or null for the very beginning -> bars that only b has
  let last = null;
  for (const bar of bBars) {
    if (partner.has(bar)) last = partner.get(bar);
    else {
      if (!behind.has(last)) behind.set(last, []);
      behind.get(last).push(bar);
    }
  }
  const of = new Map([...partner].map(([b, a]) => [a, b]));
  const only = (list = []) => list.map((b) => ({ a: null, b }));
  return [...only(behind.get(null)), ...aBars.flatMap((a) => [{ a, b: of.get(a) ?? null }, ...only(behind.get(a))])];
}
