// The page put together: header, banner, the view that the address names, and the one live connection.

import { h, button, setText } from './element.js';
import { whenRefused } from './api.js';
import { chainView } from './chain.js';
import { chainsView } from './chains.js';
import { compareView } from './compare.js';
import { showHelp, startKeys, viewKeys } from './keyboard.js';
import { Live } from './live.js';
import { loginView, logOut, wasLoggedIn } from './login.js';
import { makeBanner } from './banner.js';
import { go, here, link } from './router.js';
import { keepAndShare } from './share.js';
import { sourcesView } from './sources.js';
import { tailView } from './tail.js';
import { nextTheme, startTheme, theme } from './theme.js';
import { statusBar } from './status.js';

const VIEWS = { chains: chainsView, traces: chainView, tail: tailView, sources: sourcesView, compare: compareView };
const TABS = [['chains', 'Chains'], ['tail', 'Tail'], ['sources', 'Sources'], ['compare', 'Compare']];

startTheme();
const live = new Live();
const banner = makeBanner(live);
const said = h('div', { class: 'offscreen', role: 'status', 'aria-live': 'polite' });
const context = { live, say: (text) => setText(said, text), banner, back, share: keepAndShare };
const status = statusBar(live);
const tabs = TABS.map(([name, label]) => h('a', { href: link(name), 'data-name': name }, label));
const themeButton = button('', 'Light, dark, or as the system wishes (t)', () => switchTheme(), { class: 'plain' });
const main = h('main', { id: 'main', tabindex: -1 });
let view = null;
let locked = false;
let walked = 0; // views that were shown

function back() {
  if (here().name === 'chains') return;
  if (walked > 1) history.back(); // never out of the page
  else go('#/');
}

function switchTheme() {
  nextTheme();
  showTheme();
  context.say(`Colours: ${theme()}`);
}

function showTheme() {
  setText(themeButton, { auto: '◐', light: '☀', dark: '☾' }[theme()]);
  themeButton.setAttribute('aria-label', `Colours: ${theme()}`);
}

function show(made) {
  view?.stop();
  view = made;
  document.title = `${made.title} · TraceHub`;
  main.replaceChildren(...(made.node.querySelector('h1') ? [] : [h('h1', { class: 'offscreen' }, made.title)]), made.node);
  viewKeys(made.keys, made.help);
  made.start();
}

function route() {
  const at = here();
  walked += 1;
  locked = false;
  const make = VIEWS[at.name] ?? chainsView;
  const tab = at.name === 'traces' ? 'chains' : at.name;
  for (const each of tabs) {
    if (each.dataset.name === tab) each.setAttribute('aria-current', 'page');
    else each.removeAttribute('aria-current');
  }
  show(make(context, at));
}

whenRefused(() => {
  if (locked) return;
  locked = true;
  live.follow(null);
  show(loginView(() => location.reload()));
});

live.onstate = (state, lostAt) => {
  if (document.body.dataset.live !== state && ['open', 'lost'].includes(state)) status.look();
  document.body.dataset.live = state;
  banner.state(state, lostAt);
};
live.onback = (news) => banner.back(news);

document.body.append(
  h('a', { class: 'skip', href: '#main', onclick: (event) => { event.preventDefault(); main.focus(); } }, 'Skip to the content'),
  h('header', {}, h('a', { class: 'brand', href: '#/', 'aria-label': 'TraceHub, chains' }, h('span', { class: 'logo', 'aria-hidden': 'true' }), 'TraceHub'),
    h('nav', { 'aria-label': 'Views' }, tabs), status.node,
    h('div', { class: 'tools' }, wasLoggedIn() ? button('Log out', 'Log out', () => logOut(), { class: 'plain' }) : null,
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
