// The page of a file that was saved: one chain, no server. It is only ever run from there.

import { h, button, setText } from './element.js';
import { ChainView } from './chain.js';
import { parse } from './api.js';
import { showHelp, startKeys, viewKeys } from './keyboard.js';
import { clock, utc } from './format.js';
import { nextTheme, startTheme } from './theme.js';

const saved = parse(document.getElementById('chain').textContent);
const said = h('div', { class: 'offscreen', role: 'status' });
const view = new ChainView({ say: (text) => setText(said, text), back: () => {} }, { parts: [], query: new URLSearchParams() }, saved);

startTheme();
startKeys({ '?': () => showHelp(), t: () => nextTheme() });
viewKeys(view.keys, view.help);
document.title = `${view.title} · TraceHub`;
document.body.append(
  h('header', h('span', { class: 'brand' }, h('span', { class: 'logo', 'aria-hidden': 'true' }), 'TraceHub'),
    h('span', { class: 'saved', title: utc(saved.now) }, `saved as of ${clock(saved.now, 0)}`), h('span', { class: 'spring' }),
    h('div', { class: 'tools' }, button('◐', 'Light, dark or system colours (t)', () => nextTheme(), { class: 'plain', 'aria-label': 'Colours' }),
      button('?', 'Keys (?)', () => showHelp(), { class: 'plain', 'aria-label': 'Keys' }))),
  h('main', view.node), said);
view.start();
