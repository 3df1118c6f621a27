// What the page has to say of its connection: lost since when; back, and what came meanwhile.

import { h, button, setText } from './element.js';
import { clock, duration, plural } from './format.js';

const PATIENCE_MS = 800; // a cut that is mended sooner is no news
const STAY_MS = 9_000;

export function makeBanner(live) {
  const words = h('span', {});
  const act = button('Try now', '', () => {});
  const hide = () => { node.hidden = true; };
  const close = button('×', 'Dismiss', hide, { 'aria-label': 'Dismiss', class: 'plain' });
  const node = h('div', { class: 'banner', role: 'alert', hidden: true }, words, act, close);
  let timer = 0;
  let stay = 0;
  let shown = false;
  let refusal = null;

  function show(kind, text, label, action) {
    clearTimeout(stay);
    node.className = `banner ${kind}`;
    setText(words, text);
    act.hidden = !label;
    setText(act, label ?? '');
    act.onclick = action ?? null;
    node.hidden = false;
  }

  live.onrefusal = (why) => {
    if (why === refusal || shown) return;
    if (why) show('lost', `Nothing is taken in: ${why}`);
    else hide();
    refusal = why;
  };

  return {
    node,
    state(state, lostAt, why) {
      clearTimeout(timer);
      if (state === 'idle' && shown) { // nothing is waited for any more
        shown = false;
        hide();
      }
      if (state !== 'lost') return;
      timer = setTimeout(() => {
        shown = true;
        const what = why ? `No entries since ${clock(lostAt, 0)}: ${why}` : `Connection lost at ${clock(lostAt, 0)}`;
        show('lost', `${what}. What is shown may be out of date; retrying …`, 'Try now', () => live.retry());
      }, shown ? 0 : PATIENCE_MS);
    },
    back({ lostAt, missed, passedOver, upgraded }) {
      clearTimeout(timer);
      const away = duration(Math.max(1_000, Date.now() - lostAt));
      if (shown) {
        const came = live.isWhole ? `${plural(missed, 'entry', 'entries')} arrived meanwhile and` : 'what arrived meanwhile';
        const many = live.isWhole && missed > 1;
        const what = passedOver ? `${came} ${many ? 'were' : 'was'} skipped` : `${came} ${many ? 'are' : 'is'} shown now`;
        show('back', `Back after ${away}${missed === null ? '' : `: ${missed ? what : 'nothing was missed'}`}.`);
        stay = setTimeout(hide, STAY_MS);
      }
      shown = false;
      if (upgraded) show('back', 'TraceHub was upgraded.', 'Reload', () => location.reload());
    },
    tell(text, label, action) {
      show('back', text, label, action);
      if (!action) stay = setTimeout(hide, STAY_MS);
    },
  };
}
