// Dark, light, or as the system wishes; and the colours, which all live in the stylesheet.

const KEY = 'tracehub.theme';
const COLOURS = 24;
const SEED = 207559; // with this one the names that are used most lie well apart
const cache = new Map();
const listeners = new Set();
let probe = null;

export function startTheme() {
  apply(stored() ?? 'auto');
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);
}

export function theme() {
  return document.documentElement.dataset.theme ?? 'auto';
}

export function nextTheme() {
  const order = ['auto', 'light', 'dark'];
  apply(order[(order.indexOf(theme()) + 1) % order.length]);
  try { localStorage.setItem(KEY, theme()); } catch { /* private windows may refuse */ }
  return theme();
}

export function onTheme(act) {
  listeners.add(act);
  return () => listeners.delete(act);
}

function stored() {
  try { return localStorage.getItem(KEY); } catch { return null; }
}

function apply(name) {
  document.documentElement.dataset.theme = name;
  changed();
}

function changed() {
  cache.clear();
  for (const act of listeners) act();
}

// The class that gives a source its colour: the same one everywhere, for ever.
export function sourceClass(source) {
  let hash = SEED;
  for (let at = 0; at < source.length; at += 1) hash = Math.imul(hash ^ source.charCodeAt(at), 0x01000193);
  hash ^= hash >>> 15;
  return `c${(hash >>> 0) % COLOURS}`;
}

// The computed value of a custom property, for a canvas: `ink()` of `--line`, or of `--c` under the class of a source.
export function ink(property, className = '') {
  const key = `${className} ${property}`;
  let value = cache.get(key);
  if (value === undefined) {
    if (!probe?.isConnected) {
      probe = document.createElement('span');
      probe.hidden = true;
      probe.style.forcedColorAdjust = 'none'; // where the system chooses the colours, all words would have one
      document.body.append(probe);
    }
    probe.className = className;
    probe.style.color = `var(${property})`;
    value = getComputedStyle(probe).color;
    cache.set(key, value);
  }
  return value;
}
