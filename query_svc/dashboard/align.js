// Two chains step by step. A step is known by its way: source, operation, endpoint, below the way of what called it; the
// n-th of a way in one chain goes with the n-th in the other. What is left over goes together by its step alone, as calls
// beside each other may nest differently. So calls that ran in another order are not taken for missing. Pure, O(n).

import { first, stepOf } from './pairing.js';

// [{a, b}] in the order of a; what only b has stands behind the step that it came after.
export function align(aBars, bBars) {
  const partner = new Map(); // bar of b -> bar of a
  match(aBars, bBars, wayOf(), partner);
  const taken = new Set(partner.values());
  match(aBars.filter((bar) => !taken.has(bar)), bBars.filter((bar) => !partner.has(bar)), (bar) => stepOf(first(bar)), partner);
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
      const name = `${each.parent ? known.get(each.parent) : 0}\0${stepOf(first(each))}`;
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
