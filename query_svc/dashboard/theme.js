// Dark, light, or as the system wishes; and the colours, which all live in the stylesheet.

import { keep, kept } from './element.js';

const HUES = 12; // each in two tones
const SEED = 207559; // with this one the names that are used most lie well apart
const cache = new Map();
const listeners = new Set();
let probe = null;

export function startTheme() {
  apply(kept('theme') ?? 'auto');
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);
}

export function theme() {
  return document.documentElement.dataset.theme ?? 'auto';
}

export function nextTheme() {
  const order = ['auto', 'light', 'dark'];
  apply(order[(order.indexOf(theme()) + 1) % order.length]);
  keep('theme', theme());
  return theme();
}

export function onTheme(act) {
  listeners.add(act);
  return () => listeners.delete(act);
}

function apply(name) {
  document.documentElement.dataset.theme = name;
  changed();
}

function changed() {
  cache.clear();
  for (const act of listeners) act();
}

// The classes that give a source its colour: the same ones everywhere, for ever.
export function sourceClass(source) {
  let hash = SEED;
  for (let at = 0; at < source.length; at += 1) hash = Math.imul(hash ^ source.charCodeAt(at), 0x01000193);
  hash ^= hash >>> 15;
  const colour = (hash >>> 0) % (2 * HUES);
  return `hue h${colour % HUES}${colour < HUES ? '' : ' mid'}`;
}

// The computed value of a custom property, for a canvas: `ink()` of `--line`, or of `--c` under the classes of a source.
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
