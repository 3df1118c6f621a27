// Where the page is: `#/`, `#/traces/<id>`, `#/tail`, `#/sources`, `#/compare/<a>/<b>`, each with parameters behind `?`.

export function here() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const parts = path.split('/').filter(Boolean).map(unquote);
  const [name, ...rest] = parts[0] === 'traces' && !parts[1] ? [] : parts;
  return { name: name ?? 'chains', parts: rest, query: new URLSearchParams(query) };
}

// What an address says of these, as far as it does.
export function given(query, otherwise) {
  return Object.fromEntries(Object.entries(otherwise).map(([name, value]) => [name, query.get(name) ?? value]));
}

export function link(name, parts = [], query = {}) {
  const path = [...(name === 'chains' ? [] : [name]), ...parts.map((part) => encodeURIComponent(part))].join('/');
  const wanted = Object.entries(query).filter(([, value]) => value !== '' && value !== null && value !== undefined);
  const search = new URLSearchParams(wanted).toString();
  return `#/${path}${search ? `?${search}` : ''}`;
}

export function chainLink(id, query) {
  return link('traces', [id], query);
}

export function go(target) {
  if (location.hash === target) dispatchEvent(new HashChangeEvent('hashchange'));
  else location.hash = target;
}

// What a link to this very view says, without leaving it.
export function remember(target) {
  history.replaceState(history.state, '', target);
}

let behind = -1;

// How many views of this page lie behind this one in the history; asked once for each view that is shown.
export function viewsBehind() {
  behind = history.state?.behind ?? behind + 1;
  history.replaceState({ behind }, '');
  return behind;
}

function unquote(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
