// Elements. Text goes in as text nodes and attributes only through setAttribute: nothing that an entry holds is markup.

const SVG = 'http://www.w3.org/2000/svg';

// A tag, its attributes, which may be left out, and what it holds.
export function h(tag, ...parts) {
  return fill(document.createElement(tag), parts);
}

export function svg(tag, ...parts) {
  return fill(document.createElementNS(SVG, tag), parts);
}

function fill(node, parts) {
  const [attributes, ...children] = parts[0]?.constructor === Object ? parts : [{}, ...parts];
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') node[name] = value;
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// A row opens what its link leads to, wherever it is clicked; who marks text in it, to copy a part, opens nothing.
export function opens(row, link) {
  const marked = getSelection();
  const place = ({ clientX, clientY }) => document.caretPositionFromPoint?.(clientX, clientY); // Safari before 18.4 has none
  const follow = (event) => {
    if (event.detail && !event.button && !marked.isCollapsed) event.preventDefault();
    else if (event.button < 2 && !link.contains(event.target)) {
      link.focus({ preventScroll: true }); // who comes back goes on from here
      link.dispatchEvent(new MouseEvent('click', event));
    }
  };
  let from = null; // where marking began in the link, whose text a browser does not let one mark by itself
  row.addEventListener('click', follow);
  row.addEventListener('auxclick', follow);
  row.addEventListener('mousedown', (event) => {
    if (event.button === 1) event.preventDefault(); // it would scroll
    if (event.button || event.shiftKey) return;
    marked.removeAllRanges();
    from = link.contains(event.target) ? place(event) : null;
  });
  row.addEventListener('mousemove', (event) => {
    const to = event.buttons === 1 && from && place(event);
    if (to) marked.setBaseAndExtent(from.offsetNode, from.offset, to.offsetNode, to.offset);
  });
  row.addEventListener('mouseleave', () => { from = null; });
  link.addEventListener('dragstart', (event) => event.preventDefault());
}

export function button(label, title, act, more) {
  return h('button', { type: 'button', title, onclick: act, ...more }, label);
}

// The names of a table's columns; `letter` and its number are a column's class.
export function tableHead(names, letter, ...more) {
  return h('div', { role: 'rowgroup', class: 'head' }, h('div', { role: 'row', class: 'row' }, names.map((name, at) =>
    h('span', { role: 'columnheader', class: `cell ${letter}${at}` }, name)), more));
}

export function searchField(attributes) {
  return h('input', { type: 'search', spellcheck: 'false', autocomplete: 'off', ...attributes });
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Let a node show what another one would. Where only words differ its own nodes stay: what is pressed just now, or has
// the focus, is not taken away. Where more differs, the focus goes to what is called the same.
export function renew(node, fresh) {
  const now = [...fresh.childNodes];
  const old = [...node.childNodes];
  if (old.length !== now.length || old.some((each, at) => each.nodeName !== now[at].nodeName || each.title !== now[at].title)) {
    const had = node.contains(document.activeElement) ? document.activeElement.title : null;
    node.replaceChildren(...now);
    if (had !== null) [...node.querySelectorAll('a, button')].sort((a, b) => (b.title === had) - (a.title === had))[0]?.focus({ preventScroll: true });
    return;
  }
  old.forEach((each, at) => {
    if (each.nodeType === Node.TEXT_NODE) return setText(each, now[at].textContent);
    each.className = now[at].className;
    each.style.cssText = now[at].style.cssText;
    each.onclick = now[at].onclick;
    return renew(each, now[at]);
  });
}

// At most one call a frame.
export function eachFrame(act) {
  let asked = 0;
  return () => {
    if (!asked) asked = requestAnimationFrame(() => { asked = 0; act(); });
  };
}

// At most one call in so many milliseconds, the first at once, the last never lost.
export function atMostEvery(ms, act) {
  let last = -Infinity;
  let timer = 0;
  const run = () => { timer = 0; last = performance.now(); act(); };
  const ask = () => {
    if (timer) return;
    const wait = last + ms - performance.now();
    if (wait <= 0) run();
    else timer = setTimeout(run, wait);
  };
  ask.cancel = () => { clearTimeout(timer); timer = 0; };
  return ask;
}

export async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const had = document.activeElement;
  const area = h('textarea', { class: 'offscreen', 'aria-hidden': 'true' });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
  had?.focus({ preventScroll: true });
}

export function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h('a', { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// What the browser keeps for the page from one time to the next, unless it refuses to.
export function keep(name, value) {
  try { localStorage.setItem(`tracehub.${name}`, value); } catch { /* it is asked for again */ }
}

export function kept(name) {
  try { return localStorage.getItem(`tracehub.${name}`); } catch { return null; }
}

const TYPED_MS = 200;

// Search fields for what a filter holds: what is typed is taken up a moment later, each field for itself; `leave` lets go
// of what was not yet.
export function typed(filter, changed) {
  const timers = {};
  return {
    field(name, attributes) {
      const input = searchField(attributes);
      input.value = filter[name];
      input.oninput = () => {
        clearTimeout(timers[name]);
        timers[name] = setTimeout(() => { filter[name] = input.value.trim(); changed(); }, TYPED_MS);
      };
      return input;
    },
    leave: () => Object.values(timers).forEach(clearTimeout),
  };
}
