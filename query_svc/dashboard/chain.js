// One chain: what it is about in three answers, its timeline or its sequence, and the selected step. While it runs,
// what comes is added in the next frame.

import { h, button, atMostEvery, renew, setText } from './element.js';
import { AGAIN_MS, chainPath, get } from './api.js';
import { details } from './details.js';
import { parse } from './exact.js';
import { count, duration, plural, shorten, visible } from './format.js';
import { facts } from './facts.js';
import { copyButton, curlLine, moment, nothing, stateMark, STATES, STUCK_MS } from './marks.js';
import { first, lengthOf, model } from './pairing.js';
import { ChainRecord, keyOf } from './record.js';
import { chainLink, here, link, remember } from './router.js';
import { Sequence } from './sequence.js';
import { Timeline } from './timeline.js';
import { finder } from './finder.js';

const NOTED_MS = 300; // browsers count how often an address is changed
const SMALL = 3_000; // entries that are drawn anew with each one that comes; more, a few times a second

export function chainView(context, route, saved = null) {
  const id = saved?.id ?? route.parts.join('/'); // several where nobody quoted its slashes
  const record = saved ? ChainRecord.of(saved) : new ChainRecord(id);
  let reading = new AbortController(); // what is being read
  let retrying = 0;
  let found = model([]);
  let selected = null;
  let held = false;
  let linked = route.query.get('step'); // until it is there, or another one is chosen
  let was = ''; // its state, as far as it was told
  let kind = route.query.get('view') === 'sequence' ? 'sequence' : 'timeline';

  const now = () => record.now() - found.origin;
  const end = () => Math.max(now(), found.last);
  const shared = { now, say: context.say, select: (bar) => choose(bar) };
  const timeline = new Timeline(shared);
  const sequence = new Sequence(shared);
  const views = { timeline, sequence };
  const current = () => views[kind];

  const state = h('span', { class: 'chain-state' });
  const numbers = h('span', { class: 'numbers' });
  const answers = h('div', { class: 'facts', hidden: true });
  const body = h('div', { class: 'body' });
  const side = h('div', { class: 'side-panel' });
  const chosen = details({ choose: (bar) => choose(bar), close: () => choose(null) });
  const search = finder({ bars: () => found.bars, show: (bars) => { timeline.matches = sequence.matches = bars; current().paint(); }, choose: (bar) => choose(bar) });
  const kinds = { timeline: button('Timeline', 'Bars on an axis of time (v)', () => turn('timeline')), sequence: button('Sequence', 'Who follows whom (v)', () => turn('sequence')) };
  const rulerButton = button('Ruler', 'Measure between two points: drag (r, or Shift and drag)', () => measure(), { 'aria-pressed': 'false', class: 'only-timeline' });
  const zooms = h('span', { class: 'group only-timeline', role: 'group', 'aria-label': 'Zoom' },
    button('−', 'Zoom out (-)', () => timeline.zoom(1.6)), button('+', 'Zoom in (+)', () => timeline.zoom(1 / 1.6)), button('Fit', 'Show all (0)', () => timeline.fit()));
  const pause = saved ? null : button('Pause', 'Hold what is shown (p); nothing is lost', () => hold(), { 'aria-pressed': 'false' });
  const node = h('section', { class: 'view chain-view', 'aria-label': 'One chain' },
    h('div', { class: 'chain-head' }, saved ? null : h('a', { class: 'back', href: context.list, title: 'Chains' }, '‹ Chains'),
      h('h1', { title: visible(id) }, shorten(visible(id), 90)), saved ? null : copyButton('Copy id', id), state, numbers),
    answers,
    h('div', { class: 'bar' }, h('span', { class: 'group', role: 'group', 'aria-label': 'View' }, kinds.timeline, kinds.sequence), zooms, rulerButton,
      search.node, pause, h('span', { class: 'spring' }), context.share?.(record)),
    body);

  function draw() {
    found = model([...record.entries]);
    selected = (selected && found.bars.find((bar) => first(bar) === first(selected))) ?? null;
    timeline.selected = sequence.selected = selected;
    search.again();
    timeline.show(found);
    sequence.show(found);
    panel();
    head();
    fillBody();
    const step = linked && found.bars.find((bar) => [bar.entry, bar.exit].some((entry) => entry && keyOf(entry) === linked));
    if (step) choose(step);
  }

  function head() {
    const complete = found.bars.length > 0 && !found.opens.length && !found.orphans.length;
    const stuck = record.quiet > STUCK_MS || Boolean(saved);
    const words = found.errors.length ? 'error' : record.expired ? 'expired' : complete ? 'complete' : found.opens.length < found.orphans.length ? 'alone' : stuck ? 'stuck' : 'running';
    renew(state, h('span', {}, found.bars.length ? stateMark(words) : null));
    if (was && was !== words && !record.reading) context.say(`${STATES[words][1]}, ${duration(found.last)}`);
    was = record.reading ? '' : words;
    renew(numbers, h('span', {}, found.bars.length ? [
      h('span', {}, duration(found.last)), h('span', {}, `${record.expired ? `${count(found.entries.length)} of ` : ''}${plural(found.entries.length + record.expired, 'entry', 'entries')}`),
      h('span', {}, plural(found.groups.length, 'source')),
      h('span', {}, plural(new Set(found.groups.flatMap((group) => [...group.hosts])).size, 'host')), moment(found.origin),
      record.cut ? h('strong', {}, 'and more that this page cannot hold') : record.reading ? h('strong', {}, 'reading on …') : null] : null));
    renew(answers, h('div', {}, facts(found, { now: end(), complete, expired: record.expired, stuck, choose })));
    answers.hidden = !found.bars.length;
  }

  function fillBody() {
    const wanted = found.bars.length ? [current().node, side] : [record.loaded ? noChain(id) : nothing('Reading …')];
    if (body.firstChild !== wanted[0] || !found.bars.length) body.replaceChildren(...wanted);
    node.dataset.kind = kind;
    for (const [name, each] of Object.entries(kinds)) each.setAttribute('aria-pressed', String(name === kind));
  }

  function turn(to) {
    kind = to;
    current().choose(selected);
    fillBody();
    context.say(to === 'timeline' ? 'Timeline' : 'Sequence');
    note();
    current().stage.node.focus({ preventScroll: true });
  }

  // In the address: which view, and which step.
  const note = atMostEvery(NOTED_MS, () => {
    const at = here();
    if (at.name !== 'traces' || at.parts.join('/') !== id) return; // left already
    remember(chainLink(id, { view: kind === 'sequence' ? kind : '', step: selected && keyOf(first(selected)) }));
  });

  function choose(bar) {
    linked = null;
    selected = bar;
    note();
    current().choose(bar);
    panel();
    if (!bar) return;
    const entry = first(bar);
    context.say(`${visible(entry.source_id)}, ${visible(entry.operation)} ${visible(entry.endpoint)}, ${
      bar.kind === 'pair' ? duration(lengthOf(bar, 0)) : bar.kind === 'open' ? `open for ${duration(lengthOf(bar, now()))}` : 'an exit without entry'
    }, step ${count(found.bars.indexOf(bar) + 1)} of ${count(found.bars.length)}`);
  }

  function panel() {
    if (selected) chosen.show(selected, found.origin, end());
    else if (side.contains(document.activeElement)) current().stage.node.focus({ preventScroll: true });
    if (Boolean(selected) !== side.hasChildNodes()) side.replaceChildren(...(selected ? [chosen.node] : []));
    body.classList.toggle('with-side', Boolean(selected));
  }

  function move(by) {
    if (!found.bars.length) return;
    const bars = timeline.matches ? found.bars.filter((bar) => timeline.matches.has(bar)) : found.bars;
    const at = selected ? bars.indexOf(selected) : by > 0 ? -1 : bars.length;
    choose(bars[Math.max(0, Math.min(bars.length - 1, at + by))] ?? null);
  }

  function hold() {
    held = !held;
    pause.setAttribute('aria-pressed', String(held));
    setText(pause, held ? 'Go on' : 'Pause');
    context.say(held ? 'Paused' : 'Going on');
    if (!held) draw();
  }

  function measure() {
    timeline.measuring = !timeline.measuring;
    if (!timeline.measuring) timeline.ruler = null;
    rulerButton.setAttribute('aria-pressed', String(timeline.measuring));
    timeline.paint();
  }

  const drawSmall = atMostEvery(30, draw);
  const drawLarge = atMostEvery(400, draw);
  const drawSoon = () => {
    if (held) setText(pause, `Go on · ${count(record.entries.length - found.entries.length)} new`);
    else (record.entries.length < SMALL ? drawSmall : drawLarge)();
  };
  const askSoon = atMostEvery(1_000, () => record.whenItArrived(reading.signal).then(head, () => {}));
  const ticking = setInterval(() => {
    if (!found.opens.length || document.hidden || saved) return;
    head();
    panel();
  }, 1_000);

  async function load() {
    const { signal } = reading;
    try {
      const { newest_id: from } = await get('stats', {}, signal);
      context.live.follow({
        path: `${chainPath(id)}/stream`, chain: true, from,
        entry(text, id) {
          if (record.add(parse(text))) {
            if (id > context.live.old) record.arrivedNow();
            else askSoon();
            drawSoon();
          } else if (record.cut) drawSoon();
        },
        again: () => {
          letGo();
          reading = new AbortController();
          record.forget();
          load();
        },
        gap: () => context.banner.tell('Some entries of this chain passed retention before this page had them.'),
      });
      await record.load(signal, drawSoon);
      head();
    } catch (error) {
      if (signal.aborted) return;
      setText(numbers, error.message);
      retrying = setTimeout(load, AGAIN_MS);
    }
  }

  function letGo() {
    reading.abort();
    clearTimeout(retrying);
  }

  return {
    node,
    title: shorten(visible(id), 40),
    start() { if (saved) draw(); else { fillBody(); load(); } },
    stop() {
      letGo();
      clearInterval(ticking);
      note.cancel();
      drawSmall.cancel();
      drawLarge.cancel();
      askSoon.cancel();
      timeline.dispose();
      sequence.dispose();
    },
    keys: {
      j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1),
      v: () => turn(kind === 'timeline' ? 'sequence' : 'timeline'),
      '/': () => search.focus(), r: () => measure(), p: () => { if (pause) hold(); },
      '+': () => timeline.zoom(1 / 1.6), '=': () => timeline.zoom(1 / 1.6), '-': () => timeline.zoom(1.6),
      0: () => timeline.fit(), 9: () => timeline.fitNow(),
      ArrowLeft: () => timeline.pan(-0.15), ArrowRight: () => timeline.pan(0.15),
      Enter: () => { if (selected) { timeline.focusOn(selected); side.firstChild?.focus(); } },
      c: () => { if (!saved) location.hash = link('compare', [id]); },
      Escape: (event) => { if (selected || timeline.ruler) { timeline.ruler = null; choose(null); return true; } return context.back(event); },
    },
    help: [['v', 'timeline or sequence'], ['j k ↓ ↑', 'next, previous step'], ['Enter', 'zoom to the step'], ['+ -', 'zoom (also Ctrl and wheel)'],
      ['← →', 'pan (also drag)'], ['0', 'all that was recorded'], ['9', 'up to now'], ['r', 'ruler (also Shift and drag)'], ['/', 'find a step'], ...(saved ? [] : [['c', 'compare with another chain']])],
  };
}

function noChain(id) {
  return nothing('Nothing of this chain yet', h('p', {}, 'No entry with this id is stored: it has not come, has another name, or is past retention. ',
    'What comes shows here at once. ', h('a', { href: link('chains', [], { q: id }) }, 'Look for chains like it')), curlLine(id));
}
