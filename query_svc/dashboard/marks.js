// The small things that every view shows: a source's mark, a chain's state, a time, what to do where there is nothing.

import { h, button, copy, setText } from './element.js';
import { clock, code, count, utc, visible } from './format.js';
import { address, serverNow } from './api.js';
import { sourceClass } from './theme.js';

export const STUCK_MS = 60_000; // without a new entry for so long, an open chain is stuck and no longer running

export const STATES = {
  running: ['▸', 'running'],
  stuck: ['◆', 'open too long'],
  alone: ['◇', 'exit without entry'],
  complete: ['✓', 'complete'],
  expired: ['◌', 'partly expired'],
  error: ['✕', 'error in data'],
};

// Two letters, or the whole name; `wide`: the name where the screen is wide, and for who listens.
export function mark(source, short = true) {
  const name = visible(source);
  const attributes = { class: `mark ${sourceClass(source)}`, title: name };
  if (short !== 'wide') return h('span', attributes, short ? code(source) : name);
  return h('span', { ...attributes, role: 'img', 'aria-label': name },
    h('span', { class: 'letters' }, code(source)), h('span', { class: 'name' }, name));
}

// A number, and a bar behind it as long as it is large.
export function counted(number, most) {
  const fill = h('span', { class: 'fill' });
  fill.style.width = `${(100 * number) / most}%`;
  return [fill, h('span', count(number))];
}

export function stateMark(state) {
  const [glyph, words] = STATES[state];
  return h('span', { class: `state ${state}`, title: words },
    h('span', { class: 'glyph', 'aria-hidden': 'true' }, glyph), h('span', { class: 'words' }, words));
}

// What a chain amounts to, as a row of /correlations tells of it.
export function stateOf(chain, quiet = quietMs(chain)) {
  if (chain.errors > 0) return 'error';
  if (chain.complete === true) return 'complete';
  if (chain.complete === null) return 'expired';
  if (chain.open < 0) return 'alone';
  return quiet > STUCK_MS ? 'stuck' : 'running';
}

export function quietMs(chain) {
  return Math.max(0, serverNow() - (chain.arrived_ts ?? chain.last_ts));
}

export function moment(ms) {
  return h('time', { datetime: utc(ms), title: utc(ms) }, clock(ms));
}

export function copyButton(label, text) {
  const node = button(label, 'Copy', async () => {
    await copy(typeof text === 'function' ? text() : text);
    setText(node, 'Copied');
    setTimeout(() => setText(node, label), 1_200);
  }, { class: 'small' });
  return node;
}

// Holds what a view shows: `turned(held)` does so. Where that is not decided by the button, `show` says what is true.
export function pauseButton(title, say, turned) {
  const node = button('Pause', title, () => pause.turn(), { 'aria-pressed': 'false' });
  const pause = {
    node,
    held: false,
    show(held, waiting = 0) {
      pause.held = held;
      node.ariaPressed = held;
      setText(node, held ? `Resume${waiting > 0 ? ` · ${count(waiting)} new` : ''}` : 'Pause');
    },
    turn() {
      pause.show(!pause.held);
      say(pause.held ? 'Paused' : 'Resumed');
      turned(pause.held);
    },
  };
  return pause;
}

export function nothing(title, ...rest) {
  return h('div', { class: 'nothing' }, h('h2', title), ...rest);
}

export function nothingYet(title) {
  return nothing(title, h('p', 'Waiting for the first; it appears here at once. Send one:'), curlLine());
}

// The line that sends a first entry: to this port, which sends it on to the ingest port.
export function curlLine(id = 'req-1') {
  const plain = /^[\w.:@/+=-]{1,128}$/.test(id) ? id : 'req-1';
  const line = `curl -L ${address('ingest/single').href} -H 'Content-Type: application/json' -d '{
  "source_id": "MA", "correlation_id": "${plain}", "timestamp": '$(date +%s)000',
  "suffix": "a", "direction": "->", "operation": "REST", "endpoint": "/hello"}'`;
  return h('div', { class: 'sample' }, h('pre', { tabindex: 0 }, line), copyButton('Copy', line));
}
