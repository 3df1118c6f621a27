// Which step called which in another source, and whose clocks differ: what came first is dated later. Pure.

const LEAST_MS = 100; // what is less is not told
const LATE_MS = 3_000; // what was overtaken by an entry dated so much later may have waited with its sender
const NEXT_MS = 0.01; // after a call at the earliest it is served
const NOBODY = 'unknown'; // hosts that are not named may be many

// Of steps of one name in two sources the n-th called the n-th. Who calls does so within another step.
export function findCallers(bars) {
  const inner = innerOf(bars);
  const share = (steps) => steps.filter((bar) => inner.has(bar)).length / steps.length;
  for (const named of Map.groupBy(bars, (bar) => bar.name).values()) {
    const [callers, callees, third] = [...Map.groupBy(named, (bar) => bar.source).values()].sort((a, b) => share(b) - share(a));
    if (!callees || third || share(callers) === share(callees) || callees.length > callers.length) continue;
    callees.forEach((callee, at) => {
      callee.caller = callers[at];
      callers[at].calls = true;
    });
  }
}

// The steps that began while another step of their process was under way.
function innerOf(bars) {
  const under = new Map(); // process -> the step that ends last, of those that began
  return new Set(bars.filter((bar) => {
    const process = `${bar.source}\0${bar.host}`;
    const around = under.get(process);
    if (!(around?.end >= bar.end)) under.set(process, bar);
    return around?.end > bar.start && around.step !== bar.step;
  }));
}

// [{host, other, ms, late}], from the host with most steps on: what a clock is ahead of another, or behind below 0; `late`:
// unless the entries of the one behind came late. `arrived`: entry -> its row id, as far as that is known.
export function clocksOf(bars, arrived) {
  const hosts = Map.groupBy(bars, (bar) => bar.host);
  const sure = aheadBy(bars.flatMap(({ caller, entry, exit }) => [[entry, exit], [caller?.entry, entry]]));
  const told = (found, least, late) => [...found.values()].filter(({ host, other, ms }) => {
    const turned = `${other}\0${host}`; // what speaks against it
    return ms >= least && !(found.get(turned)?.ms >= least) && !(sure.get(turned)?.ms > -ms);
  }).map((each) => ({ ...each, late }));
  const steps = (host) => hosts.get(host)?.length ?? 0;
  return spanning([...told(sure, LEAST_MS, false), ...told(aheadBy(overtakings(arrived)), LATE_MS, true)], steps);
}

// What clocks are ahead of others at least, by entries of which the first of a pair came first.
function aheadBy(pairs) {
  const found = new Map();
  for (const [before, after] of pairs) {
    const [host, other] = [before?.hostname, after?.hostname];
    if (host === other || [host, other].some((each) => !each || each === NOBODY)) continue;
    const ms = before.timestamp - after.timestamp + NEXT_MS;
    const key = `${host}\0${other}`;
    if (!(found.get(key)?.ms >= ms)) found.set(key, { host, other, ms });
  }
  return found;
}

// Each entry, behind those of other hosts that are dated much later and had arrived.
function* overtakings(arrived) {
  let newest = []; // of each host, the latest first
  for (const [entry] of [...arrived].sort(([, a], [, b]) => a - b)) {
    for (const before of newest) {
      if (before.timestamp - entry.timestamp + NEXT_MS < LATE_MS) break;
      yield [before, entry];
    }
    const had = newest.find(({ hostname }) => hostname === entry.hostname);
    if (had?.timestamp > entry.timestamp) continue;
    newest = [entry, ...newest.filter((each) => each !== had)].sort((a, b) => b.timestamp - a.timestamp);
  }
}

// Each host compared once, with one that is known already.
function spanning(differences, steps) {
  const found = [];
  const hosts = differences.flatMap(({ host, other }) => [host, other]).sort((a, b) => steps(b) - steps(a));
  const known = new Set(hosts.slice(0, 1));
  for (const at of known) { // and those that become known meanwhile
    for (const each of differences) {
      const turned = { ...each, host: each.other, other: each.host, ms: -each.ms };
      const next = [each, turned].find(({ host, other }) => other === at && !known.has(host));
      if (!next) continue;
      found.push(next);
      known.add(next.host);
    }
  }
  return found;
}
