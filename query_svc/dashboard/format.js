// How numbers, times and foreign text look. Pure.

const HIDDEN = /(?![\ufe00-\ufe0f])[\p{Cc}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]/gu; // but for what makes an emoji of a sign

// Text of an entry, fit to show: what would be invisible, or would turn the line around, is spelled out.
export function visible(text) {
  return String(text).replace(HIDDEN, (char) => {
    const code = char.codePointAt(0).toString(16).padStart(4, '0');
    return `\\u${code.length > 4 ? `{${code}}` : code}`;
  });
}

// Foreign text with something of ours behind it: what is written from the right takes no number to its left.
export function apart(text) {
  return `\u2068${text}\u2069`;
}

export function shorten(text, most) {
  if (text.length <= most) return text;
  const tail = Math.floor((most - 1) / 3);
  const head = text.slice(0, most - 1 - tail).replace(/[\ud800-\udbff]$/, ''); // never half a letter
  return `${head}…${tail ? text.slice(-tail).replace(/^[\udc00-\udfff]/, '') : ''}`;
}

export function count(number) {
  return String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, ','); // Intl takes 8 ms to begin
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function rate(perSecond) {
  if (perSecond >= 9.95) return `${count(perSecond)}/s`;
  return `${perSecond >= 0.05 || perSecond === 0 ? perSecond.toFixed(perSecond ? 1 : 0) : '<0.1'}/s`;
}

const STEPS = [
  [86_400_000, 'd'], [3_600_000, 'h'], [60_000, 'min'], [1_000, 's'], [1, 'ms'], [0.001, 'µs'],
];

// 12.3 ms, 4.21 s, 3 min 12 s: three digits that matter.
export function duration(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return '–';
  if (ms < 0) return `−${duration(-ms)}`;
  if (ms < 0.0005) return '0 ms';
  if (ms >= 60_000) return twoUnits(ms);
  const [unit, name] = STEPS.find(([size]) => ms >= size) ?? STEPS.at(-1);
  const value = ms / unit;
  return `${value >= 100 ? value.toFixed(0) : value >= 10 ? trim(value.toFixed(1)) : trim(value.toFixed(2))} ${name}`;
}

function twoUnits(ms) {
  const at = STEPS.findIndex(([size]) => ms >= size);
  const [unit, name] = STEPS[at];
  const [smaller, smallerName] = STEPS[at + 1];
  const large = Math.floor(ms / unit);
  const small = Math.floor((ms - large * unit) / smaller);
  if (large >= 1e6) return `${large.toExponential(0)} ${name}`; // a sender may have any clock
  return small && large < 100 ? `${count(large)} ${name} ${small} ${smallerName}` : `${count(large)} ${name}`;
}

function trim(digits) {
  return digits.replace(/\.?0+$/, '');
}

export function age(ms) {
  if (ms < 1_500) return 'now';
  const [unit, name] = STEPS.find(([size]) => ms >= size);
  return `${count(Math.floor(ms / unit))} ${name}`;
}

export function bytes(number) {
  const steps = ['B', 'kB', 'MB', 'GB', 'TB'];
  let at = 0;
  let value = number;
  while (value >= 1000 && at < steps.length - 1) { value /= 1000; at += 1; }
  return `${value >= 100 || at === 0 ? value.toFixed(0) : value.toFixed(1)} ${steps[at]}`;
}

// The local clock time with milliseconds; the day is added where it is not today.
export function clock(ms, digits = 3) {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return String(ms);
  const two = (number) => String(number).padStart(2, '0');
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':');
  const part = digits ? `.${String(at.getMilliseconds()).padStart(3, '0')}` : '';
  if (new Date().toDateString() === at.toDateString()) return time + part;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}${part}`;
}

export function utc(ms) {
  const at = new Date(ms);
  return Number.isNaN(at.getTime()) ? String(ms) : `${at.toISOString().replace('T', ' ').replace('Z', '')} UTC`;
}

// Two letters that stand for a source beside its colour.
export function code(source) {
  if (source.length <= 3) return visible(source);
  const words = source.split(/[^\p{L}\p{N}]+/u).filter((word) => word && !/^(service|svc|server)$/i.test(word));
  const letters = words.length > 1 ? words.slice(-2).map((word) => [...word][0]) : [...(words[0] ?? source)].slice(0, 2);
  return visible(letters.join('').toUpperCase());
}
