// Everything as it comes, oldest above. The server filters; the tab keeps a bounded number of entries, as the text that
// came, and reads only those that are on the screen. Who reads further up is never moved: when the room is used up, the
// stream is held where it is, and the file keeps the rest until somebody scrolls on. So nothing is lost unsaid. What
// comes meanwhile is told by the row ids, or, where a filter chooses among them, counted as it comes and let go.

import { h, atMostEvery, button, setText, typed } from './element.js';
import { AGAIN_MS, get, serverNow } from './api.js';
import { parse } from './exact.js';
import { clock, count, plural, rate, shorten, utc, visible } from './format.js';
import { curlLine, nothing } from './marks.js';
import { reportsError } from './pairing.js';
import { chainLink, given, link, remember } from './router.js';
import { sourceClass } from './theme.js';
import { VirtualRows } from './virtual.js';

const MOST = 10_000; // entries that the tab keeps
const SLACK = 1_000; // dropped together
const BEHIND = 2_000; // kept above when somebody reads on
const NEAR = 300; // rows before the end at which a full list goes on
const BACK = 1_000; // newest entries that are looked through for a beginning
const FAST = 250; // entries a second, beyond which a paint takes turns with reading
const TURN_MS = 200;
const COLUMNS = ['Time', 'Source', '', 'Operation', 'Endpoint', 'Correlation id', 'Data'];
const FIELDS = [
  ['source', 'Source, the whole name', 'Source', 'source'], ['operation', 'Operation, the whole word', 'Operation', 'source'],
  ['endpoint', 'Endpoint, with * and ?', 'Endpoint  *', 'grow'], ['correlation_id', 'Correlation id, with * and ?', 'Correlation id  *', 'grow'],
];

export function tailView(context, route) {
  const filter = given(route.query, { source: '', operation: '', endpoint: '', correlation_id: '' });
  const { live } = context;
  let kept = [];
  let follow = true;
  let held = null; // 'pause': somebody asked; 'full': no room
  let position = 0; // row id of the newest entry that is kept
  let counted = 0; // that came while held and pass the filter
  let passed = 0; // row id of the newest of these
  let came = 0;
  let before = { came: 0, fills: 0, at: performance.now() };
  let speed = 0;
  let loading = 0;
  let retrying = 0;

  const head = h('div', { role: 'rowgroup', class: 'head' }, h('div', { role: 'row', class: 'row' },
    COLUMNS.map((name, at) => h('span', { role: 'columnheader', class: `cell t${at}` }, name || h('span', { class: 'offscreen' }, 'Direction')))));
  const rows = new VirtualRows({ make: () => makeRow((number) => kept[number - rows.first]), head, label: 'Entries as they come', name: 'tail' });
  rows.sticky = true;
  const pause = button('Pause', 'Hold the stream where it is (p); nothing is lost', () => toggle(), { class: 'small', 'aria-pressed': 'false' });
  const pace = h('span', { class: 'pace number' });
  const pill = button('', 'Go to the newest (n)', () => newest(), { class: 'pill', hidden: true });
  const empty = h('div', {});
  const { bar, search, leave } = filterBar(filter, () => { remember(link('tail', [], filter)); load(); });
  bar.append(pause, pace);
  const node = h('section', { class: 'view tail-view', 'aria-label': 'Tail' }, bar, empty, rows.node, h('div', { class: 'pillbox low' }, pill));
  const slowly = atMostEvery(TURN_MS, () => paint());

  async function load() {
    const mine = (loading += 1);
    clearTimeout(retrying);
    kept = [];
    rows.reset();
    held = null;
    follow = true;
    came = 0;
    try {
      const stats = await get('stats');
      const answer = await get('recent', { limit: BACK, source: filter.source });
      if (mine !== loading) return;
      const found = answer.traces;
      for (const entry of found.filter(matcher(filter))) push(entry);
      position = found.at(-1)?.id ?? stats.newest_id;
      if (found.length === BACK && kept.length < found.length) kept.unshift({ note: `Of what is older, the newest ${count(BACK)} entries were looked through` });
      rows.end = kept.length;
    } catch { // the banner tells of a lost connection
      if (mine !== loading) return;
      position = live.newest;
      retrying = setTimeout(load, AGAIN_MS);
    }
    rows.again();
    rows.toEnd();
    go(position || null);
    tell();
  }

  function go(from) {
    const mine = loading;
    live.follow({
      path: 'stream', parameters: filter, from,
      entry(text, id) {
        if (mine !== loading || id <= position) return;
        if (held) {
          counted += 1;
          passed = id;
          return;
        }
        position = id;
        came += 1;
        push(text);
        if (speed > FAST) slowly();
        else paint();
      },
      again(why) {
        if (why === 'replaced') load();
        else if (!held) {
          note(`${plural(live.newest - position, 'entry', 'entries')} of all sources passed over while the connection was lost`);
          position = live.newest;
        }
      },
      gap: (lost) => note(`Retention removed ${lost.lost === undefined ? 'some entries' : plural(lost.lost, 'entry', 'entries')} before they could be shown`),
    });
  }

  function push(item) {
    kept.push(item);
    rows.end = rows.first + kept.length;
    if (kept.length < MOST) return;
    if (following() && kept.length >= MOST + SLACK) drop(SLACK);
    else if (!following() && !held) hold('full');
  }

  function drop(number) {
    kept.splice(0, number);
    rows.drop(rows.first + number);
  }

  function note(text) {
    push({ note: text });
    paint();
  }

  function paint() {
    if (following()) rows.toEnd();
    else rows.paint();
    if (rows.node.hidden) tell();
  }

  const following = () => follow && !rows.chosen;
  const filtered = () => Object.values(filter).some(Boolean);
  const meanwhile = () => (filtered() ? counted : Math.max(0, live.newest - position));

  function hold(why) {
    held = why;
    counted = 0;
    passed = position;
    if (!filtered()) live.hold();
    if (why === 'full') context.say('Held, for you read further up');
    say();
  }

  function goOn() {
    held = null;
    if (filtered()) go(position);
    else live.resume();
  }

  function resume() {
    // what came meanwhile does not rush by: who was at the end begins to read where the pause began
    if (meanwhile() > rows.visible) follow = false;
    goOn();
    say();
  }

  function toggle() {
    if (held === 'pause') resume();
    else if (held === 'full') held = 'pause';
    else hold('pause');
    context.say(held ? 'Paused' : 'Going on');
    say();
  }

  function newest() {
    follow = true;
    if (rows.chosen) rows.node.focus({ preventScroll: true });
    if (held) {
      const missed = meanwhile();
      held = null;
      if (missed > 0) note(`${plural(missed, 'entry', 'entries')} passed over`);
      position = filtered() ? passed : live.newest;
      go(position);
    }
    rows.toEnd();
    say();
  }

  rows.onscroll = (up) => {
    const wish = up ? false : follow || rows.atEnd;
    if (wish !== follow && held !== 'full') { follow = wish; say(); }
    if (held === 'full' && rows.end - rows.below < NEAR) {
      drop(kept.length - Math.max(BEHIND, rows.end - rows.below + NEAR));
      goOn();
    }
  };

  // How fast it comes, and how much of it was really on the screen.
  function second() {
    const now = performance.now();
    const seconds = (now - before.at) / 1000;
    speed = (came - before.came) / seconds;
    const shown = (rows.fills - before.fills) / seconds;
    before = { came, fills: rows.fills, at: now };
    say(shown);
  }

  function say(shown = Infinity) {
    const waiting = rows.end - rows.below;
    const later = held ? meanwhile() : 0;
    if (held) setText(pace, `${held === 'full' ? 'held, for you read further up' : 'paused'}${later ? ` · ${count(later)} came meanwhile` : ''}`);
    else if (following() && speed > FAST && shown < speed * 0.95) setText(pace, `showing ${count(shown)} of ${rate(speed)}`);
    else setText(pace, rate(speed));
    pace.classList.toggle('held', Boolean(held));
    setText(pause, held === 'pause' ? 'Go on' : 'Pause');
    pause.setAttribute('aria-pressed', String(held === 'pause'));
    const more = Math.max(0, waiting) + later;
    pill.hidden = following() || more < 1;
    setText(pill, `${count(more)} newer ↓`);
  }

  function tell() {
    const none = kept.every((item) => item.note);
    rows.node.hidden = none;
    empty.replaceChildren(...(none ? [filtered()
      ? nothing('Nothing like this yet', h('p', {}, 'It shows as soon as it comes. Source and operation are whole words; endpoint and id may hold * and ?.'))
      : nothing('No entries yet', h('p', {}, 'Waiting for the first. It shows here at once. Send one:'), curlLine())] : []));
    say();
  }

  const ticking = setInterval(second, 1_000);
  return {
    node,
    title: 'Tail',
    start: load,
    leave,
    stop() { leave(); clearTimeout(retrying); clearInterval(ticking); slowly.cancel(); rows.dispose(); loading += 1; live.follow(null); },
    keys: {
      '/': () => search.focus(),
      p: toggle,
      n: newest,
      j: () => rows.step(1),
      k: () => { follow = false; rows.step(-1); },
      G: newest,
      g: () => { follow = false; rows.node.scrollTop = 0; },
    },
    help: [['p', 'pause, go on from there'], ['n G', 'to the newest'], ['g', 'to the oldest that is kept']],
  };
}

function makeRow(item) {
  const cells = COLUMNS.map((_, at) => h('span', { role: 'cell', class: `cell t${at}` }));
  const [time, source, arrow, operation, endpoint, id, data] = cells;
  const mark = h('span', {});
  source.append(mark);
  const chain = h('a', { class: 'go' });
  id.append(chain);
  const node = h('div', { role: 'row', class: 'row', tabindex: -1 }, cells);
  return {
    node,
    fill(number) {
      const what = item(number);
      const entry = typeof what === 'string' ? parse(what) : what;
      node.className = entry.note ? 'row note' : reportsError(entry) ? 'row failed' : 'row';
      if (entry.note) return write(['', '', '', '', entry.note, '', '']);
      chain.href = chainLink(entry.correlation_id);
      time.title = `${clock(entry.timestamp)}\n${utc(entry.timestamp)}`;
      mark.className = `mark ${sourceClass(entry.source_id)}`;
      source.title = visible(entry.source_id);
      endpoint.title = visible(entry.endpoint);
      id.title = visible(entry.correlation_id);
      arrow.title = entry.direction === '->' ? 'entry' : 'exit';
      return write([when(entry.timestamp), visible(entry.source_id), entry.direction === '->' ? '→' : '←', visible(entry.operation),
        visible(shorten(entry.endpoint, 300)), visible(shorten(entry.correlation_id, 64)), entry.data ? visible(shorten(JSON.stringify(entry.data), 240)) : '']);
    },
  };

  function write(texts) {
    texts.forEach((text, at) => setText([cells[0], mark, ...cells.slice(2, 5), chain, cells[6]][at], text));
    if (!texts[0]) { chain.removeAttribute('href'); mark.className = ''; }
  }
}

// The time alone would be taken for one of today, or of last night.
function when(ms) {
  const whole = clock(ms);
  return Math.abs(serverNow() - ms) < 12 * 3_600_000 ? whole.slice(-12) : whole.replace(/^\d+-(\d\d-\d\d \d\d:\d\d).*/, '$1').slice(-12);
}

function matcher(filter) {
  const endpoint = glob(filter.endpoint);
  const id = glob(filter.correlation_id);
  return (entry) => (!filter.source || entry.source_id === filter.source) && (!filter.operation || entry.operation === filter.operation)
    && endpoint.test(entry.endpoint) && id.test(entry.correlation_id);
}

function glob(pattern) {
  if (!pattern) return /^/;
  const source = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*').replaceAll('?', '.');
  return new RegExp(`^${source}$`, 'su');
}

function filterBar(filter, changed) {
  const { field, leave } = typed(filter, changed);
  const inputs = FIELDS.map(([name, label, hint, kind]) => field(name, { placeholder: hint, 'aria-label': label, title: label, class: kind }));
  return { bar: h('div', { class: 'bar', role: 'search' }, inputs), search: inputs[0], leave };
}
