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
