// The header: how fast entries come, whether the service is well, what senders had to drop.

import { h, svg, setText } from './element.js';
import { get, Refused, Unready } from './api.js';
import { bytes, count, plural, rate } from './format.js';

const EVERY_MS = 5_000;
const BARS = 60; // seconds in the little curve

export function statusBar(live, onanswer) {
  const line = svg('polyline', { fill: 'none', 'stroke-width': 1.25, 'vector-effect': 'non-scaling-stroke' });
  const curve = svg('svg', { class: 'curve', viewBox: `0 0 ${BARS} 20`, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, line);
  const speed = h('span', { class: 'speed number', title: 'Entries per second' }, '…');
  const health = h('span', { class: 'health', role: 'status' }, '…');
  const node = h('div', { class: 'status' }, curve, speed, health);
  const past = []; // entries a second, of the seconds that are known
  let last = null; // [when, newest row id]
  let asking = false;

  // Each second where all entries come by; else when asked, for the seconds since then.
  function sample() {
    if (document.hidden) return;
    const now = performance.now();
    if (last) {
      const seconds = (now - last[0]) / 1000;
      if (seconds < 0.5) return;
      past.push(...new Array(Math.max(1, Math.round(seconds))).fill(Math.max(0, (live.newest - last[1]) / seconds)));
      past.splice(0, Math.max(0, past.length - BARS));
      draw();
    }
    last = [now, live.newest];
  }

  function draw() {
    const most = Math.max(1, ...past);
    const left = BARS - past.length;
    line.setAttribute('points', past.map((value, at) => `${left + at},${(19 - 17 * (value / most)).toFixed(1)}`).join(' '));
    const latest = past.slice(-3);
    setText(speed, rate(latest.reduce((sum, each) => sum + each, 0) / latest.length));
  }

  async function poll() {
    if (document.hidden || asking) return;
    asking = true;
    try {
      const stats = await get('stats');
      onanswer();
      live.newest = Math.max(live.newest, stats.newest_id);
      const behind = stats.tail_lag.entries;
      const ill = stats.why_not ? 'nothing is taken in' : stats.dropped ? `${count(stats.dropped)} dropped by senders`
        : behind > 1000 && `${count(behind)} behind`;
      say(ill ? 'warn' : 'well', ill || 'healthy');
      live.onrefusal(stats.why_not);
      health.title = [plural(stats.entries, 'entry', 'entries'), plural(stats.chains, 'chain'),
        `${bytes(stats.db_bytes)} file, ${bytes(stats.wal_bytes)} log`, `kept for ${stats.retention_hours} h`,
        plural(stats.subscribers, 'subscriber')].join(' · ');
      if (!live.isWhole) sample();
    } catch (error) {
      if (error instanceof Refused) say('', 'not logged in');
      else if (error instanceof Unready) say('ill', 'unhealthy');
      else {
        say('ill', 'no answer');
        live.doubt();
      }
      health.title = error.message;
      setText(speed, '…');
    }
    asking = false;
  }

  function say(kind, words) {
    health.className = `health ${kind}`;
    setText(health, words);
  }

  setInterval(() => { if (live.isWhole) sample(); }, 1_000);
  setInterval(poll, EVERY_MS);
  document.addEventListener('visibilitychange', () => { last = null; poll(); });
  return { node, look: poll };
}
