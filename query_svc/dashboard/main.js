// The page put together: header, banner, the view that the address names. The list of chains comes with the page, the other
// views behind it.

import { h, button, setText } from './element.js';
import { whenRefused } from './api.js';
import { ChainsView } from './chains.js';
import { showHelp, startKeys, viewKeys } from './keyboard.js';
import { Live } from './live.js';
import { loginView, logOut, wasLoggedIn } from './login.js';
import { makeBanner } from './banner.js';
import { go, here, link, viewsBehind } from './router.js';
import { nextTheme, startTheme, theme } from './theme.js';
import { statusBar } from './status.js';

const VIEWS = { // but for the list
  traces: async () => {
    const [chain, share] = await Promise.all([import('./chain.js'), import('./share.js')]);
    context.share = share.keepAndShare;
    return chain.ChainView;
  },
  tail: async () => (await import('./tail.js')).TailView,
  sources: async () => (await import('./sources.js')).SourcesView,
  compare: async () => (await import('./compare.js')).CompareView,
};
const REST_MS = 500; // until modules are fetched that nobody has asked for yet
const TABS = [['chains', 'Chains'], ['tail', 'Tail'], ['sources', 'Sources'], ['compare', 'Compare']];

startTheme();
const live = new Live();
const banner = makeBanner(live);
const said = h('div', { class: 'offscreen', role: 'status', 'aria-live': 'polite' });
const context = { live, say: (text) => setText(said, text), banner, back, list: link('chains'), left: null };
const status = statusBar(live, () => { if (locked) location.reload(); }); // somebody logged in elsewhere, or need not any more
const tabs = TABS.map(([name, label]) => h('a', { href: link(name), 'data-name': name }, label));
const themeButton = button('', 'Light, dark or system colours (t)', () => switchTheme(), { class: 'plain' });
const main = h('main', { id: 'main', tabindex: -1 });
let view = null;
let locked = false;
let walked = 0; // views that were asked for
let behind = 0; // views that Escape may go back to

function back() {
  if (here().name === 'chains') return;
  if (behind) history.back(); // never out of the page
  else go('#/');
}

async function leave() {
  try {
    await logOut();
  } catch (error) {
    banner.tell(`Still logged in: ${error.message}`);
  }
}

function switchTheme() {
  nextTheme();
  showTheme();
  context.say(`Colours: ${theme()}`);
}

function showTheme() {
  setText(themeButton, { auto: '◐', light: '☀', dark: '☾' }[theme()]);
  themeButton.ariaLabel = `Colours: ${theme()}`;
}

function show(made) {
  const following = view !== null;
  view?.stop();
  view = made;
  document.title = `${made.title} · TraceHub`;
  main.replaceChildren(...(made.node.querySelector('h1') ? [] : [h('h1', { class: 'offscreen' }, made.title)]), made.node);
  viewKeys(made.keys, made.help);
  if (following) arrive(made.title);
  made.start();
}

// Say what is shown now: by its heading, where what had the focus has left with the view before.
function arrive(title) {
  const heading = main.querySelector('h1');
  heading.tabIndex = -1;
  if (document.activeElement === document.body) heading.focus({ preventScroll: true });
  else context.say(title);
}

async function route() {
  const at = here();
  const mine = (walked += 1);
  view?.leave?.(); // the next one may take a while to load, and has the address already
  locked = false;
  behind = viewsBehind();
  const tab = at.name === 'traces' ? 'chains' : at.name;
  for (const each of tabs) each.ariaCurrent = each.dataset.name === tab ? 'page' : null;
  let View = ChainsView;
  if (Object.hasOwn(VIEWS, at.name)) {
    fetchRest();
    try {
      View = await VIEWS[at.name]();
    } catch {
      if (mine !== walked) return;
      banner.tell('This view did not load: the server is unreachable, or TraceHub was upgraded.', 'Reload', () => location.reload());
      return;
    }
  }
  if (mine === walked && !locked) show(new View(context, at));
}

// The modules of all other views, at once and not each when the one that imports it has come.
function fetchRest() {
  const rest = document.querySelector('meta[name=rest]');
  rest?.remove();
  for (const name of rest?.content.split(' ') ?? []) {
    document.head.append(h('link', { rel: 'modulepreload', href: new URL(name, import.meta.url) }));
  }
}

whenRefused(() => {
  if (locked) return;
  locked = true;
  live.follow(null);
  show(loginView(() => location.reload()));
});

live.onstate = (state, lostAt, why) => {
  if (document.body.dataset.live !== state && ['open', 'lost'].includes(state)) status.look();
  document.body.dataset.live = state;
  banner.state(state, lostAt, why);
};
live.onback = (news) => banner.back(news);

document.body.append(
  h('a', { class: 'skip', href: '#main', onclick: (event) => { event.preventDefault(); main.focus(); } }, 'Skip to content'),
  h('header', h('a', { class: 'brand', href: '#/', 'aria-label': 'TraceHub, chains' }, h('span', { class: 'logo', 'aria-hidden': 'true' }), 'TraceHub'),
    h('nav', { 'aria-label': 'Views' }, tabs), status.node,
    h('div', { class: 'tools' }, wasLoggedIn() ? button('Log out', 'Log out', leave, { class: 'plain' }) : null,
      themeButton, button('?', 'Keys (?)', () => showHelp(), { class: 'plain', 'aria-label': 'Keys' }))),
  banner.node, main, said);
showTheme();
startKeys({
  '?': () => showHelp(), t: () => switchTheme(),
  ...Object.fromEntries(TABS.map(([name], at) => [String(at + 1), () => go(link(name))])),
  Escape: () => back(),
});
addEventListener('hashchange', route);
route();
status.look();
setTimeout(fetchRest, REST_MS);
