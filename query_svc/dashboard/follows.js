// Who follows whom, as layers from left to right: a source stands right of those that mostly come before it. Arrows against
// the stream are drawn below the others and dashed.

import { h, svg, tableHead } from './element.js';
import { count, plural, shorten, visible } from './format.js';
import { counted } from './marks.js';
import { link } from './router.js';
import { sourceClass } from './theme.js';

const NODE = { width: 128, height: 32 };
const ROOM = { across: 212, down: 54 };
const MARGIN = 16;
const MOST = 120; // arrows that are drawn; the table has them all
const SWEEPS = 6;
const LEAST = 0.85; // of its size, down to which a map shrinks to fit
const LETTERS = 24; // of a name, where all are narrow
const LABELS = 40; // arrows, beyond which numbers would cover each other

// {nodes: [{name, x, y}], edges: [{from, to, count, back, share}], width, height}; what has no arrow between it stands
// one below the other, the largest part first.
function layOut(follows) {
  const strongest = [...follows].sort((a, b) => b.count - a.count).slice(0, MOST);
  const names = [...new Set(strongest.flatMap((each) => [each.from, each.to]))];
  const edges = strongest.map((each) => ({ ...each, back: false }));
  const nodes = new Map();
  let [width, height] = [0, MARGIN];
  for (const part of parts(names, edges)) {
    const inside = edges.filter((edge) => part.has(edge.from));
    const order = untangle(columnsOf([...part], inside), inside);
    const tallest = Math.max(...order.map((column) => column.length));
    order.forEach((column, across) => column.forEach((name, down) => nodes.set(name, {
      name, part, x: MARGIN + across * ROOM.across, y: height + (down + (tallest - column.length) / 2) * ROOM.down,
    })));
    width = Math.max(width, 2 * MARGIN + (order.length - 1) * ROOM.across + NODE.width);
    height += tallest * ROOM.down + MARGIN + 8;
  }
  const most = Math.max(1, ...edges.map((each) => each.count));
  for (const edge of edges) {
    const [from, to] = [nodes.get(edge.from), nodes.get(edge.to)];
    edge.back = to.x <= from.x;
    if (edge.back) edge.under = lowestBetween(to.x, from.x, nodes, edge) + NODE.height + 14;
    edge.share = (edge.count / most) ** 0.4;
  }
  return { nodes: [...nodes.values()], edges, width, height };
}

// The lowest of the nodes that an arrow back would cross: it goes beneath them.
function lowestBetween(left, right, nodes, edge) {
  const [from, to] = [nodes.get(edge.from), nodes.get(edge.to)];
  let low = Math.max(from.y, to.y);
  for (const node of nodes.values()) {
    if (node.x >= left && node.x <= right && node.part === from.part) low = Math.max(low, node.y);
  }
  return low;
}

function parts(names, edges) {
  const part = new Map(names.map((name) => [name, new Set([name])]));
  for (const { from, to } of edges) {
    const [into, other] = [part.get(from), part.get(to)];
    if (into !== other) for (const name of other) { into.add(name); part.set(name, into); }
  }
  return [...new Set(part.values())].sort((a, b) => b.size - a.size);
}

function columnsOf(names, edges) {
  const layer = layers(names, edges);
  const columns = [];
  for (const name of names) (columns[layer.get(name)] ??= []).push(name);
  return columns.filter(Boolean);
}

// The longest way along arrows that go forward; the strongest arrows choose first what forward is.
function layers(names, edges) {
  const ahead = new Map(names.map((name) => [name, new Set()]));
  const reaches = (from, to) => {
    const seen = new Set([from]);
    for (const name of seen) {
      if (name === to) return true;
      for (const next of ahead.get(name)) seen.add(next);
    }
    return false;
  };
  const net = (edge) => edge.count - (edges.find((each) => each.from === edge.to && each.to === edge.from)?.count ?? 0);
  const balance = new Map(names.map((name) => [name, 0]));
  for (const edge of edges) {
    balance.set(edge.from, balance.get(edge.from) + edge.count);
    balance.set(edge.to, balance.get(edge.to) - edge.count);
  }
  const forward = edges.filter((edge) => net(edge) > 0 || (net(edge) === 0 && balance.get(edge.from) >= balance.get(edge.to)));
  for (const edge of forward.sort((a, b) => net(b) - net(a))) if (!reaches(edge.to, edge.from)) ahead.get(edge.from).add(edge.to);
  const layer = new Map(names.map((name) => [name, 0]));
  for (let round = 0; round < names.length; round += 1) {
    let moved = false;
    for (const name of names) for (const next of ahead.get(name)) {
      if (layer.get(next) <= layer.get(name)) { layer.set(next, layer.get(name) + 1); moved = true; }
    }
    if (!moved) break;
  }
  return layer;
}

// Each column in the order of the middles of its neighbours, a few times there and back.
function untangle(columns, edges) {
  const place = new Map();
  const note = (column) => column.forEach((name, at) => place.set(name, at - (column.length - 1) / 2));
  columns.forEach(note);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    for (const column of sweep % 2 ? [...columns].reverse() : columns) {
      const middle = new Map(column.map((name) => [name, middleOf(name, edges, place)]));
      column.sort((a, b) => middle.get(a) - middle.get(b));
      note(column);
    }
  }
  return columns;
}

function middleOf(name, edges, place) {
  let sum = 0;
  let weight = 0;
  for (const { from, to, count: times } of edges) {
    const other = from === name ? to : to === name ? from : null;
    if (other === null || other === name) continue;
    sum += place.get(other) * times;
    weight += times;
  }
  return weight ? sum / weight : place.get(name);
}

const pen = document.createElement('canvas').getContext('2d'); // only measured with

// As much of a name as its node has room for.
function fitted(name) {
  pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  let most = LETTERS;
  while (most > 1 && pen.measureText(shorten(name, most)).width > NODE.width - 36) most -= 1;
  return shorten(name, most);
}

export function drawMap(follows) {
  const map = layOut(follows);
  const at = new Map(map.nodes.map((node) => [node.name, node]));
  const picture = svg('svg', {
    class: 'follows', viewBox: `0 0 ${map.width} ${map.height}`, role: 'group',
    'aria-label': `Who follows whom: ${plural(map.nodes.length, 'source')}, ${plural(map.edges.length, 'arrow')}; the table below has the numbers`,
  }, svg('defs', arrowHead('head', 'tip'), arrowHead('head-back', 'tip back')));
  const drawn = map.edges.sort((a, b) => b.back - a.back || a.count - b.count)
    .map((edge) => ({ edge, node: drawEdge(edge, at.get(edge.from), at.get(edge.to), map.edges.length <= LABELS) }));
  picture.append(...drawn.map((each) => each.node));
  picture.style.minWidth = `${map.width * LEAST}px`;
  picture.style.maxWidth = `${map.width}px`;
  for (const node of map.nodes) picture.append(drawNode(node, (name) => {
    picture.classList.toggle('dimmed', name !== null);
    for (const { edge, node: line } of drawn) line.classList.toggle('lit', name !== null && (edge.from === name || edge.to === name));
  }));
  return picture;
}

function arrowHead(id, name) {
  return svg('marker', { id, viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: 'userSpaceOnUse', orient: 'auto-start-reverse' },
    svg('path', { d: 'M0 0 8 4 0 8z', class: name }));
}

function drawEdge(edge, from, to, labelled) {
  const middle = NODE.height / 2;
  const [x1, y1, x2, y2] = [from.x + NODE.width, from.y + middle, to.x, to.y + middle];
  const bend = Math.max(36, (x2 - x1) / 2);
  const [left, right] = [to.x + NODE.width * 0.4, from.x + NODE.width * 0.6];
  const path = edge.back
    ? `M${right} ${from.y + NODE.height}C${right} ${dip(from, edge)} ${left} ${dip(to, edge)} ${left} ${to.y + NODE.height + 2}`
    : `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2 - 2} ${y2}`;
  const words = `${visible(edge.from)} → ${visible(edge.to)}: ${plural(edge.count, 'time')}`;
  const label = edge.back ? [(from.x + to.x + NODE.width) / 2, edge.under] : [(x1 + x2) / 2, (y1 + y2) / 2];
  return svg('g', { class: `edge${edge.back ? ' back' : ''}` }, svg('title', words),
    svg('path', { d: path, fill: 'none', 'stroke-width': (1 + 4 * edge.share).toFixed(2), 'marker-end': `url(#${edge.back ? 'head-back' : 'head'})` }),
    svg('text', { x: label[0], y: label[1] + 4, 'text-anchor': 'middle', class: labelled ? 'times' : 'times crowded' }, count(edge.count)));
}

// Where a curve is to be pulled so that it comes down to `under`.
function dip(node, edge) {
  const bottom = node.y + NODE.height;
  return bottom + (edge.under - bottom) / 0.75;
}

function drawNode(node, light) {
  const name = visible(node.name);
  return svg('a', {
    href: link('chains', [], { source: node.name }), class: `node ${sourceClass(node.name)}`, 'aria-label': `${name}: its chains`,
    onmouseenter: () => light(node.name), onmouseleave: () => light(null), onfocus: () => light(node.name), onblur: () => light(null),
  }, svg('title', name), svg('rect', { x: node.x, y: node.y, width: NODE.width, height: NODE.height, rx: 7 }),
  svg('circle', { cx: node.x + 15, cy: node.y + NODE.height / 2, r: 5 }),
  svg('text', { x: node.x + 27, y: node.y + NODE.height / 2 + 4 }, fitted(name.replace(/-?service$/i, '') || name)));
}

// The same as a table, for who cannot see the picture or wants the numbers.
export function followsTable(follows) {
  const most = Math.max(1, ...follows.map((each) => each.count));
  return h('div', { class: 'table followers', role: 'table', 'aria-label': 'Who follows whom' },
    tableHead(['After', 'Follows', 'Times'], 'f'),
    h('div', { role: 'rowgroup' }, follows.slice(0, 1_000).map((each) => h('div', { role: 'row', class: 'row' },
      h('span', { role: 'cell', class: 'cell' }, shorten(visible(each.from), 60)),
      h('span', { role: 'cell', class: 'cell' }, shorten(visible(each.to), 60)),
      h('span', { role: 'cell', class: 'cell number' }, counted(each.count, most))))));
}
