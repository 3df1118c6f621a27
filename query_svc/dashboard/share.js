// Keep and share: a link, the entries as NDJSON, the whole view as one file that opens without a server.

import { h, button, copy, save, setText } from './element.js';
import { link } from './router.js';

const ENTRY = 'offline.js';
const IMPORT = /^import \{([^}]*)\} from '\.\/([\w.]+)';\n/gm;
const EXPORT = /^export (?:async )?(?:function|const|let|class) (\w+)/gm;

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

// The whole view as one HTML file that can reach nothing: the stylesheet, the modules, each in a scope of its own, the entries.
async function fileOf(record) {
  const [style, script] = await Promise.all([source('style.css'), bundle()]);
  const data = JSON.stringify({ id: record.id, entries: record.entries, expired: record.expired, now: record.now() })
    .replace(/</g, '\\u003c');
  const nonce = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const policy = `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; img-src data:`;
  return [
    '<!doctype html>', '<html lang="en">', '<head>', '<meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${policy}">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">', '<title>TraceHub</title>',
    `<style nonce="${nonce}">`, style, '</style>', '</head>', '<body>',
    `<script type="application/json" id="chain">${data}</script>`,
    `<script nonce="${nonce}">`, script.replace(/<\/script/gi, '<\\/script'), '</script>', '</body>', '</html>', '',
  ].join('\n');
}

async function bundle() {
  const done = new Map();
  const add = async (name) => {
    if (done.has(name)) return;
    done.set(name, '');
    const text = await source(name);
    for (const [, , needed] of text.matchAll(IMPORT)) await add(needed);
    const names = [...text.matchAll(EXPORT)].map(([, each]) => each);
    const body = text
      .replace(IMPORT, "const {$1} = modules['$2'];\n")
      .replace(/^export /gm, '');
    done.delete(name); // behind what it needs
    done.set(name, `modules['${name}'] = (() => {\n${body}\nreturn { ${names.join(', ')} };\n})();\n`);
  };
  await add(ENTRY);
  return `'use strict';\nconst modules = {};\n${[...done.values()].join('')}`;
}

async function source(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error('Reload the page first: TraceHub was upgraded');
  return response.text();
}
