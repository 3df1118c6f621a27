// What this browser keeps for the page from one time to the next. Private windows may refuse to.

export function kept(name) {
  try { return localStorage.getItem(`tracehub.${name}`); } catch { return null; }
}

export function keep(name, value) {
  try { localStorage.setItem(`tracehub.${name}`, value); } catch { /* it is asked for again */ }
}
