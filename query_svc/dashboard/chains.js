// Chains, newest activity first. Live: rows change in place; new ones move in by themselves only while nobody points
// at the list or reads further down, and are counted on a button otherwise.

import { h, button, atMostEvery, setText } from './element.js';
import { AGAIN_MS, get, knowClock, serverNow } from './api.js';
import { age, count, duration, plural, shorten, utc, clock, visible } from './format.js';
import { emptiness, filters } from './filters.js';
import { chainLink, given, go, link, remember } from './router.js';
import { mark, quietMs, stateMark, stateOf, STUCK_MS } from './marks.js';
import { step } from './keyboard.js';

const PAGE = Math.ceil(innerHeight / 32) + 14; // what a screen shows, and what scrolling wants to have ahead
const MARKS = 8; // of sources in a row; the rest is a number
const REFRESH_MS = 700;
const MOST = 1_000; // rows that new ones are put on top of; then the list begins anew with the newest
const LOOKS = 25; // short pages that one scroll to the end goes through before it asks

export function chainsView(context, route) {
  const filter = given(route.query, { q: '', source: '', state: '', minutes: '' });
  const rows = new Map(); // correlation id -> row
  const picked = []; // for a comparison
  const came = new Set(); // ids of rows that got an entry since the list was last looked at, where a state is asked for
  let next = null;
  let first = []; // ids of the newest page, in order
  let waiting = 0;
  let busy = false;
  let searching = 0;
  let retrying = 0;
  let torn = false; // chains may be missing between the newest page and what is known below it
  let newestNext = null; // where the chains below the newest page begin
  let held = false;

  const list = h('div', { class: 'rows', role: 'rowgroup' });
  const pill = button('', 'Show them', () => show(true), { class: 'pill', hidden: true });
  const foot = h('div', { class: 'foot' });
  const empty = h('div', {});
  const table = h('div', { class: 'table chains', role: 'table', 'aria-label': 'Chains, newest activity first' },
    h('div', { role: 'rowgroup', class: 'head' }, h('div', { role: 'row', class: 'row' },
      ['State', 'Correlation id', 'Sources', 'Entries', 'Duration', 'Age'].map((name, at) =>
        h('span', { role: 'columnheader', class: `cell k${at}` }, name)))), list);
  const here = () => (context.list = link('chains', [], filter)); // where the views behind this one lead back to
  const { bar, search, leave } = filters(filter, () => { remember(here()); reload(); });
  const scroller = h('div', { class: 'scroll', tabindex: -1 }, table, empty, foot);
  const node = h('section', { class: 'view chains-view', 'aria-label': 'Chains' }, bar, h('div', { class: 'pillbox' }, pill), scroller);

  function parameters() {
    const minute = filter.minutes ? serverNow() - filter.minutes * 60_000 : null;
    const stuck = serverNow() - STUCK_MS;
    return {
      limit: PAGE, q: filter.q, source: filter.source,
      complete: { running: 'false', stuck: 'false', alone: 'false', complete: 'true' }[filter.state],
      errors: filter.state === 'error' ? 'true' : null,
      active_after: Math.max(minute ?? 0, filter.state === 'running' ? stuck : 0) || null,
      active_before: filter.state === 'stuck' ? stuck : null,
    };
  }

  function wanted(chain) {
    if (filter.state === 'complete' && chain.complete !== true) return false;
    if (filter.state && filter.state !== 'complete' && stateOf(chain) !== filter.state) return false;
    return !filter.minutes || quietMs(chain) < filter.minutes * 60_000;
  }

  async function page(before, looks = LOOKS) {
    const found = [];
    let at = before;
    let full = false; // the page that was looked at last, whatever of it is wanted
    if (filter.state || filter.minutes) await knowClock();
    for (let look = 0; look < looks && found.length < PAGE; look += 1) {
      const answer = await get('correlations', { ...parameters(), before: at });
      found.push(...answer.correlations.filter(wanted));
      full = answer.correlations.length >= PAGE;
      at = answer.next;
      if (at === null || (!before && found.length)) break;
    }
    return { found, next: at, full };
  }

  async function reload() {
    const mine = (searching += 1);
    clearTimeout(retrying);
    busy = true;
    setText(foot, 'Looking …');
    try {
      const answer = await page(null);
      if (mine !== searching) return;
      rows.clear();
      list.replaceChildren();
      waiting = 0;
      torn = false;
      pill.hidden = true;
      first = answer.found.map((chain) => put(chain).id);
      next = answer.next;
      order();
      tell();
      sayFound();
      busy = false;
      await goBackTo(context.left);
    } catch (error) {
      if (mine !== searching) return;
      setText(foot, error.message);
      retrying = setTimeout(reload, AGAIN_MS);
    }
    fillUp();
  }

  // To the row that this list was left by.
  async function goBackTo(left) {
    context.left = null;
    if (left?.list !== context.list) return;
    const elsewhere = () => !node.isConnected || document.activeElement.matches('a, button, input, select');
    for (let look = 0, at = null; !elsewhere() && !rows.has(left.id) && next !== at && look < LOOKS; look += 1) {
      at = next;
      await older();
    }
    if (elsewhere() || !rows.has(left.id)) return;
    const row = rows.get(left.id).node;
    row.querySelector('a').focus({ preventScroll: true });
    row.scrollIntoView({ block: 'center' });
  }

  async function older() {
    if (busy || next === null) return;
    const mine = searching;
    busy = true;
    setText(foot, 'Looking further back …');
    try {
      const answer = await page(next);
      if (mine !== searching) return;
      next = answer.next;
      for (const chain of answer.found.filter((each) => !rows.has(each.correlation_id))) {
        const row = put(chain);
        row.shown = true;
        list.append(row.node);
      }
      tell();
      sayFound();
    } catch (error) {
      if (mine !== searching) return;
      setText(foot, error.message);
      retrying = setTimeout(fillUp, AGAIN_MS);
    } finally {
      if (mine === searching) busy = false;
    }
  }

  function fillUp() {
    if (next !== null && !busy && scroller.scrollHeight - scroller.scrollTop < scroller.clientHeight + 400) older().then(() => {
      if (rows.size && node.isConnected && scroller.scrollHeight <= scroller.clientHeight) fillUp();
    });
  }

  const refresh = atMostEvery(REFRESH_MS, async () => {
    if (busy || !node.isConnected) return;
    const mine = searching;
    const touched = [...came];
    came.clear();
    try {
      const answer = await page(null, 1);
      if (mine !== searching || busy) return;
      const whole = !answer.full || !answer.found.every(changed); // all that something came for since
      newestNext = answer.next;
      torn ||= rows.size > MOST || (answer.found.length >= PAGE && answer.found.every(changed));
      const known = first;
      first = answer.found.map((chain) => put(chain).id);
      const now = new Set(first);
      if (whole) for (const id of touched) if (!now.has(id)) rows.get(id)?.leave();
      if (!torn) first.push(...known.filter((id) => !now.has(id) && !rows.get(id).shown));
      else forgetWaiting(now);
      show(false);
    } catch { /* the banner tells of a lost connection */ }
  });

  // Whether something came for a chain since it was last looked at: what had nothing stands below all that had.
  function changed(chain) {
    const known = rows.get(chain.correlation_id)?.chain;
    return !known || known.trace_count + known.expired !== chain.trace_count + chain.expired;
  }

  function note(text) {
    if (!filter.state) return;
    const { correlation_id: id } = JSON.parse(text);
    if (rows.has(id)) came.add(id);
  }

  function forgetWaiting(but) {
    for (const [id, row] of rows) if (!row.shown && !but.has(id)) rows.delete(id);
  }

  function dropLeft() {
    for (const [id, row] of rows) if (row.left) drop(id, row);
    first = first.filter((id) => rows.has(id));
  }

  function drop(id, row) {
    row.node.remove();
    rows.delete(id);
  }

  // The newest page alone; scrolling reads again what is below it.
  function beginAnew() {
    const now = new Set(first);
    for (const [id, row] of rows) if (!now.has(id)) drop(id, row);
    next = newestNext;
    torn = busy = false;
    searching += 1; // what is being read lies below what is gone
  }

  // Move what is new into the list: when asked, or when that moves nothing that somebody looks at.
  function show(asked) {
    const quiet = !held && scroller.scrollTop < 4 && !scroller.matches(':hover') && !list.contains(document.activeElement);
    if (asked || quiet) {
      const anew = torn;
      const had = rowInFocus()?.dataset.id;
      if (anew) beginAnew();
      dropLeft();
      order();
      if (had) (rows.get(had)?.node ?? list.firstChild)?.querySelector('a').focus({ preventScroll: true });
      waiting = 0;
      if (asked) scroller.scrollTop = 0;
      if (anew) fillUp();
    } else waiting = [...rows.values()].filter((row) => !row.shown && !row.left).length;
    pill.hidden = waiting === 0;
    setText(pill, `${count(waiting)}${torn ? '+' : ''} new`);
    tell();
  }

  function order() {
    let at = list.firstChild;
    for (const id of first) {
      const row = rows.get(id);
      if (row.node === at) at = at.nextSibling;
      else list.insertBefore(row.node, at);
      row.shown = true;
    }
  }

  function put(chain) {
    let row = rows.get(chain.correlation_id);
    if (!row) {
      row = makeRow(chain.correlation_id);
      row.node.classList.toggle('picked', picked.includes(row.id));
      rows.set(chain.correlation_id, row);
    }
    row.update(chain);
    return row;
  }

  function tell() {
    const none = rows.size === 0;
    table.hidden = none;
    empty.replaceChildren(...(none ? [emptiness(filter, next !== null)] : []));
    const longest = Math.max(1, ...[...rows.values()].map((row) => row.chain.duration_ms));
    for (const row of rows.values()) row.scale(longest);
    if (none && next === null) setText(foot, '');
    else if (next === null) setText(foot, `${plural(list.childElementCount, 'chain')}: all that retention has kept`);
    else if (!foot.firstElementChild) foot.replaceChildren(button('Look further back', 'Older chains', () => older()));
  }

  // What was asked for; what comes by itself is not said.
  function sayFound() {
    context.say(empty.querySelector('h2')?.textContent ?? `${plural(list.childElementCount, 'chain')}${next === null ? '' : ', and older ones'}`);
  }

  scroller.addEventListener('scroll', () => { fillUp(); if (scroller.scrollTop < 4 && waiting) show(false); }, { passive: true });
  const pause = button('Pause', 'Count what is new and move nothing (p)', () => {
    held = !held;
    pause.setAttribute('aria-pressed', String(held));
    setText(pause, held ? 'Go on' : 'Pause');
    context.say(held ? 'Paused' : 'Going on');
    if (!held) show(false);
  }, { 'aria-pressed': 'false' });
  bar.append(pause);

  const ticking = setInterval(() => { for (const row of rows.values()) row.tick(); }, 1_000);

  const rowInFocus = () => document.activeElement.closest('.rows .row');
  const links = () => [...list.querySelectorAll('a.id')];
  return {
    node,
    title: 'Chains',
    start() {
      here();
      reload();
      context.live.follow({
        path: 'stream', entry: (text) => { note(text); refresh(); }, again: (why) => (why === 'replaced' ? reload() : refresh()), gap: () => refresh(),
      });
    },
    leave,
    stop() {
      const row = rowInFocus();
      if (row) context.left = { list: context.list, id: row.dataset.id };
      leave();
      clearTimeout(retrying);
      clearInterval(ticking);
      refresh.cancel();
      searching += 1;
    },
    keys: {
      '/': () => search.focus(),
      j: () => step(links(), 1),
      k: () => step(links(), -1),
      n: () => show(true),
      p: () => pause.click(),
      x: () => {
        const row = rowInFocus();
        if (!row) return;
        const id = row.dataset.id;
        if (picked.includes(id)) picked.splice(picked.indexOf(id), 1);
        else picked.push(id);
        row.classList.toggle('picked', picked.includes(id));
        context.say(`${plural(picked.length, 'chain')} picked${picked.length === 2 ? ', c compares them' : ''}`);
      },
      c: () => { if (picked.length >= 2) go(link('compare', picked.slice(-2))); },
    },
    help: [['n', 'show the new ones'], ['x', 'pick a chain'], ['c', 'compare the two picked']],
  };
}

function makeRow(id) {
  const state = h('span', { role: 'cell', class: 'cell k0' });
  const marks = h('span', { role: 'cell', class: 'cell k2' });
  const entries = h('span', { role: 'cell', class: 'cell k3 number' });
  const fill = h('span', { class: 'fill' });
  const long = h('span', {});
  const old = h('span', { role: 'cell', class: 'cell k5 number' });
  const shown = visible(id);
  const node = h('div', { role: 'row', class: 'row', 'data-id': id },
    state, h('span', { role: 'cell', class: 'cell k1' }, h('a', { class: 'id go', href: chainLink(id), title: shown }, shorten(shown, 64))), marks, entries,
    h('span', { role: 'cell', class: 'cell k4 number' }, fill, long), old);
  node.addEventListener('click', (event) => { if (!event.target.closest('a')) go(chainLink(id)); });
  let before = '';
  const row = {
    id, node, chain: null, shown: false, left: false,
    update(chain) {
      const changed = row.chain && chain.trace_count !== row.chain.trace_count;
      row.chain = chain;
      row.left = false;
      if (chain.sources.join() !== before) {
        before = chain.sources.join();
        const rest = chain.sources.length - MARKS;
        marks.replaceChildren(...chain.sources.slice(0, rest > 1 ? MARKS : MARKS + 1).map((source) => mark(source, 'wide')),
          ...(rest > 1 ? [h('span', { class: 'more', title: chain.sources.slice(MARKS).map(visible).join('\n') }, `+${rest}`)] : []));
      }
      setText(entries, count(chain.trace_count));
      entries.classList.toggle('one', chain.trace_count === 1);
      entries.title = chain.expired ? `what is left; ${count(chain.expired)} that came first passed retention` : '';
      old.title = `newest entry ${clock(chain.last_ts)}\n${utc(chain.last_ts)}`;
      if (changed) {
        node.classList.remove('touched');
        requestAnimationFrame(() => node.classList.add('touched'));
      }
      row.tick();
    },
    // It is no longer of the state that was asked for.
    leave() {
      row.left = true;
      state.dataset.state = 'left';
      state.replaceChildren('no longer so');
    },
    tick() {
      if (row.left) return;
      const chain = row.chain;
      const now = stateOf(chain);
      if (state.dataset.state !== now) {
        state.dataset.state = now;
        state.replaceChildren(stateMark(now));
      }
      const open = chain.complete === false && now !== 'alone';
      setText(long, open ? `open ${duration(Math.max(1_000, chain.duration_ms + quietMs(chain)))}` : duration(chain.duration_ms));
      fill.hidden = open;
      setText(old, age(quietMs(chain)));
    },
    scale(longest) {
      fill.style.width = `${Math.round(100 * Math.sqrt(row.chain.duration_ms / longest))}%`;
    },
  };
  return row;
}
