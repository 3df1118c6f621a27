// Keep and share: a link, the entries as NDJSON, the whole view as one file that opens without a server.

import { h, button, copy, save, setText } from './element.js';
import { fileOf } from './export.js';
import { link } from './router.js';

export function keepAndShare(record) {
  const say = (node, text, label) => { setText(node, text); setTimeout(() => setText(node, label), 1_500); };
  const name = () => `trace-${record.id.replace(/[^\w.-]+/g, '_').slice(0, 80)}`;
  const address = button('Copy link', 'A link to this view', async () => {
    await copy(location.href);
    say(address, 'Copied', 'Copy link');
  });
  const keep = (label, title, type, text) => {
    const node = button(label, title, async () => {
      try {
        if (record.reading) throw new Error('still loading');
        save(`${name()}.${label.toLowerCase()}`, type, await text());
      } catch (error) {
        say(node, error.message, label);
      }
    });
    return node;
  };
  const lines = keep('NDJSON', 'Download the entries, one per line; the command line can import them', 'application/x-ndjson',
    () => `${record.entries.map((entry) => JSON.stringify(entry)).join('\n')}\n`);
  const file = keep('HTML', 'Download this chain as one file that opens anywhere', 'text/html', () => fileOf(record));
  return h('span', { class: 'group', role: 'group', 'aria-label': 'Save and share' }, address, lines, file,
    h('a', { class: 'button', href: link('compare', [record.id]), title: 'Compare with another chain (c)' }, 'Compare'));
}
