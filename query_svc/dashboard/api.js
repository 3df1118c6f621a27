// The calls of the query port. Relative to the page, so that it works behind a proxy and under a path.

import { parse } from './exact.js';

export const AGAIN_MS = 2_000; // until what did not load is asked for again
export const PATIENCE_MS = 15_000; // until an answer begins; a query has five seconds in the server

export class Refused extends Error {}

export class Unready extends Error {} // the service answers, and says why not with what was asked for

let skewMs = null; // what the server's clock is ahead of ours; null until an answer says
let onRefused = () => {};

export function whenRefused(act) {
  onRefused = act;
}

export function address(path, parameters = {}) {
  const url = new URL(path, document.baseURI);
  url.hash = '';
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== '') url.searchParams.set(name, value);
  }
  return url;
}

// The answer as JSON; null where this server has no such call.
export async function get(path, parameters, signal) {
  const response = await begin(address(path, parameters), { signal, headers: { Accept: 'application/json' } });
  if (response.status === 401 || response.status === 403) {
    onRefused();
    throw new Refused(await detail(response));
  }
  if (response.status === 404) return null;
  if (!response.ok) throw new Unready(await detail(response));
  noteClock(response.headers.get('Date'));
  return parse(await response.text());
}

export async function post(path, body) {
  const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
  const response = await begin(address(path), { method: 'POST', headers, body: body && JSON.stringify(body) });
  if (!response.ok) throw Object.assign(new Error(await detail(response)), { status: response.status });
}

export async function pageVersion() {
  const response = await begin(address('./'), { method: 'HEAD', cache: 'no-store' });
  return response.ok ? response.headers.get('ETag') : null;
}

export function serverNow() {
  return Date.now() + (skewMs ?? 0);
}

export async function knowClock() {
  if (skewMs === null) await get('stats');
}

export function chainPath(id) {
  return `traces/${encodeURIComponent(id)}`;
}

// The head of an answer. A service that hangs, or is behind a cut that nobody tells of, would be waited for for ever.
async function begin(url, options) {
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), PATIENCE_MS);
  try {
    return await fetch(url, { ...options, signal: AbortSignal.any([patience.signal, options.signal].filter(Boolean)) });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Error('no answer from the service'); // each browser has words of its own for it
  } finally {
    clearTimeout(timer);
  }
}

async function detail(response) {
  try {
    return (await response.json()).detail;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}

function noteClock(date) {
  const ahead = Date.parse(date ?? '') + 500 - Date.now(); // the header has whole seconds
  if (Number.isFinite(ahead)) skewMs = Math.abs(ahead) > 2_000 ? ahead : 0;
}
