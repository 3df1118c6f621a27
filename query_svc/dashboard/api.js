// The calls of the query port. Relative to the page, so that it works behind a proxy and under a path.

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

// JSON whose whole numbers stay what they are, also beyond the 2^53 that a number of this language counts to: ids, mostly.
// So do those beyond 1e308, which would be none. A browser that cannot keep them rounds them.
const LONG = /[:[,]\s*-?(?:\d{16}|\d[\d.]*[eE]\+?\d{3})/; // looking at each number takes several times as long
const WHOLE = /^-?\d{16,}$/;

export function parse(text) {
  return JSON.rawJSON && LONG.test(text) ? JSON.parse(text, exact) : JSON.parse(text);
}

function exact(_, value, { source }) {
  const kept = typeof value !== 'number' || (WHOLE.test(source) ? Number.isSafeInteger(value) : Number.isFinite(value));
  return kept ? value : JSON.rawJSON(source);
}

// The digits of such a number; null for any other value.
export function digits(value) {
  return JSON.isRawJSON?.(value) ? value.rawJSON : null;
}
