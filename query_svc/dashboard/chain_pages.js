// Pages of chains as a filter wants them, newest activity first. What the server cannot choose by is left out here, and
// further pages are read until one is full.

import { get, knowClock, serverNow } from './api.js';
import { quietMs, stateOf, STUCK_MS } from './marks.js';

export const PAGE = Math.ceil(innerHeight / 32) + 14; // what a screen shows, and what scrolling wants to have ahead
export const LOOKS = 25; // short pages that one scroll to the end goes through before it asks

// `whole`: nothing lies below what was read.
export async function pageOfChains(filter, before, looks = LOOKS) {
  const found = [];
  let next = before;
  let whole = false;
  if (filter.state || filter.minutes) await knowClock();
  for (let look = 0; look < looks && found.length < PAGE; look += 1) {
    const answer = await get('correlations', { ...parameters(filter), before: next });
    found.push(...answer.correlations.filter((chain) => isWanted(chain, filter)));
    whole = answer.correlations.length < PAGE;
    next = answer.next;
    if (next === null || (!before && found.length)) break;
  }
  return { found, next, whole };
}

function parameters(filter) {
  const minute = filter.minutes ? serverNow() - filter.minutes * 60_000 : null;
  const stuck = serverNow() - STUCK_MS;
  return {
    limit: PAGE, q: filter.q, source: filter.source,
    complete: { running: 'false', stuck: 'false', alone: 'false', complete: 'true' }[filter.state],
    errors: filter.state === 'error' ? 'true' : null,
    active_after: Math.max(minute ?? 0, filter.state === 'running' ? stuck : 0) || null,
    active_before: filter.state === 'stuck' ? stuck : null,
  };
}

function isWanted(chain, filter) {
  if (filter.state === 'complete' && chain.complete !== true) return false;
  if (filter.state && filter.state !== 'complete' && stateOf(chain) !== filter.state) return false;
  return !filter.minutes || quietMs(chain) < filter.minutes * 60_000;
}
