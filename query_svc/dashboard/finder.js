// Finding steps of a chain by a part of their source, operation, endpoint, host or data.

import { h, searchField, setText } from './element.js';
import { count } from './format.js';
import { first } from './pairing.js';

export function finder({ bars, show, choose }) {
  const input = searchField({ placeholder: 'Find a step   /', 'aria-label': 'Find a step' });
  const number = h('span', { class: 'found', role: 'status' });
  let found = [];
  let at = -1;

  function look() {
    const wanted = input.value.trim().toLowerCase();
    at = -1;
    if (!wanted) {
      found = [];
      setText(number, '');
      return show(null);
    }
    found = bars().filter((bar) => words(bar).includes(wanted));
    setText(number, count(found.length));
    return show(new Set(found));
  }

  const tell = () => setText(number, `${count(at + 1)} of ${count(found.length)}`);

  input.oninput = look;
  input.onkeydown = (event) => {
    if (event.key !== 'Enter' || !found.length) return;
    at = (at + (event.shiftKey ? found.length - 1 : 1)) % found.length;
    choose(found[at]);
    tell();
  };
  return {
    node: h('span', { class: 'finder' }, input, number),
    focus: () => input.focus(),
    again: () => {
      if (!input.value) return;
      const chosen = found[at] && first(found[at]);
      look();
      at = found.findIndex((bar) => first(bar) === chosen);
      if (at >= 0) tell();
    },
  };
}

function words(bar) {
  const step = first(bar);
  const data = [bar.entry, bar.exit].map((entry) => (entry?.data ? JSON.stringify(entry.data) : '')).join(' ');
  return `${step.source_id} ${step.operation} ${step.endpoint} ${step.hostname} ${data}`.toLowerCase();
}
