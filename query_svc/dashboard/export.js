// One chain as one HTML file: the stylesheet, this page's own modules and the entries, with a policy that lets the file
// reach nothing else. The modules are put one behind the other, each in a scope of its own.

const ENTRY = 'offline.js';
const IMPORT = /^import \{([^}]*)\} from '\.\/([\w.]+)';\n/gm;
const EXPORT = /^export (?:async )?(?:function|const|let|class) (\w+)/gm;

export async function fileOf(record) {
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
