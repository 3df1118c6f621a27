// What a timeline puts on its canvases.

import { apart, clock, duration, visible } from './format.js';
import { first, firstAfter, lengthOf } from './pairing.js';
import { offset } from './span.js';
import { AXIS, fitText, FONT, FOOT, paintLine, paintRect, paintText, ROW } from './stage.js';
import { ink, sourceClass } from './theme.js';

const BAR = 15;
const INSIDE = 26; // pixels from which on a bar's words stand in it
const BESIDE = 56; // up to which they stand beside it, if there is as much room

export function paintLanes(context, view) {
  const { stage, model, gutter } = view;
  paintRect(context, ink('--ground'), 0, 0, stage.width, stage.height);
  context.font = FONT;
  context.textBaseline = 'middle';
  paintGaps(context, view);
  for (const group of inSight(view)) {
    const top = group.top - stage.top;
    paintRect(context, ink('--line'), 0, top - 4, stage.width, 1);
    paintRect(context, ink('--c', sourceClass(group.source)), gutter ? gutter - 4 : 0, top, 3, gutter ? group.height - 4 : 12);
  }
  paintMarks(context, view);
  if (model.opens.length) paintNow(context, view);
}

// Names go over the bars: they stay in sight while their group does.
function paintNames(context, view) {
  const { stage, gutter } = view;
  if (gutter) paintRect(context, ink('--ground'), 0, AXIS, gutter - 4, stage.height);
  for (const group of inSight(view)) {
    const top = Math.max(AXIS + 2, Math.min(group.top - stage.top, group.top + group.height - stage.top - ROW));
    context.fillStyle = ink('--ink');
    if (gutter) {
      context.fillText(fitText(context, visible(group.source), gutter - 20), 10, top + 8);
      if (group.rows.length > 1) {
        context.fillStyle = ink('--quiet');
        const hosts = [...group.hosts];
        context.fillText(fitText(context, hosts.length > 1 ? `${hosts.length} hosts` : visible(hosts[0]), gutter - 20), 10, top + 22);
      }
    } else context.fillText(fitText(context, visible(group.source), stage.width - 16), 8, group.top - stage.top + 8);
  }
}

export function paintBars(context, view) {
  const { stage, span, gutter } = view;
  context.save();
  context.beginPath();
  context.rect(gutter, AXIS, stage.width - gutter, stage.height - AXIS);
  context.clip();
  const now = view.end;
  for (const group of inSight(view)) {
    const name = sourceClass(group.source);
    const paints = { edge: ink('--c', name), soft: ink('--soft', name) };
    const from = Math.max(0, Math.floor((stage.top + AXIS - group.top - view.heading) / ROW) - 1);
    const to = Math.min(group.rows.length, Math.ceil((stage.top + stage.height - group.top - view.heading) / ROW) + 1);
    for (let row = from; row < to; row += 1) {
      paintRow(context, view, group.rows[row], group.top + view.heading + row * ROW - stage.top, paints, now);
    }
  }
  context.restore();
  paintNames(context, view);
  if (view.ruler) paintRuler(context, view, span);
}

function paintRow(context, view, row, y, paints, now) {
  const { stage, span, gutter } = view;
  const end = span.end;
  for (let at = firstAfter(row, span.start); at < row.length && row[at].start <= end;) {
    const bar = row[at];
    const x = gutter + span.x(bar.start);
    const right = gutter + span.x(bar.kind === 'open' ? Math.max(now, bar.start) : bar.end);
    paintBar(context, view, bar, Math.max(x, gutter - 4), Math.min(right, gutter + span.width + 40), y, paints, now);
    at += 1;
    const room = (at < row.length ? gutter + span.x(row[at].start) : stage.width) - Math.max(right, x + 2);
    if (right - x <= BESIDE && room > BESIDE && bar.kind !== 'open') paintBeside(context, view, bar, Math.max(right, x + 2), room, y, now);
    if (right - x < 1 && at < row.length && gutter + span.x(row[at].start) < x + 1) {
      at = Math.max(at, firstAfter(row, span.at(x + 1 - gutter))); // the rest of this pixel is full
    }
  }
}

function paintBar(context, view, bar, x, right, y, paints, now) {
  const width = Math.max(right - x, 2);
  const faint = view.matches && !view.matches.has(bar);
  context.globalAlpha = faint ? 0.18 : 1;
  if (bar.kind === 'exit') paintOrphan(context, x, y, paints);
  else {
    paintRect(context, width < 5 ? paints.edge : paints.soft, x, y, width, BAR);
    if (width >= 5) paintRect(context, paints.edge, x, y, 2.5, BAR);
    if (bar.kind === 'open') paintOpenEnd(context, view, x, width, y, paints);
  }
  if (bar.failed) paintRect(context, ink('--bad'), x, y + BAR - 2.5, width, 2.5);
  if (width > (bar.kind === 'open' ? INSIDE : BESIDE) && bar.kind !== 'exit') paintWords(context, view, bar, x, width, y, now);
  context.globalAlpha = 1;
  if (bar === view.selected || bar === view.hovered) {
    context.strokeStyle = ink(bar === view.selected ? '--focus' : '--ink');
    context.lineWidth = bar === view.selected ? 2 : 1;
    context.strokeRect(x - 1, y - 1, width + 2, BAR + 2);
  }
}

// An exit without its entry: a hook that points to where the entry should be.
function paintOrphan(context, x, y, paints) {
  context.setLineDash([2, 2]);
  paintLine(context, ink('--warn'), 1.5, [x - 16, y + BAR / 2], [x, y + BAR / 2]);
  context.setLineDash([]);
  paintRect(context, paints.edge, x - 1, y, 3, BAR);
  context.fillStyle = ink('--warn');
  context.beginPath();
  context.moveTo(x - 8, y + 3);
  context.lineTo(x - 1, y + BAR / 2);
  context.lineTo(x - 8, y + BAR - 3);
  context.fill();
}

function paintOpenEnd(context, view, x, width, y, paints) {
  context.save();
  context.beginPath();
  context.rect(x, y, width, BAR);
  context.clip();
  context.strokeStyle = paints.edge;
  context.globalAlpha *= 0.35;
  context.lineWidth = 1;
  context.beginPath();
  const from = Math.max(x, x + width - 4_000);
  for (let at = from - (from % 7); at < x + width + BAR; at += 7) {
    context.moveTo(at, y + BAR);
    context.lineTo(at + BAR, y);
  }
  context.stroke();
  context.restore();
  paintRect(context, paints.edge, x, y, Math.max(2, width), 1.5);
  context.fillRect(x, y + BAR - 1.5, Math.max(2, width), 1.5);
}

function paintWords(context, view, bar, x, width, y, now) {
  const entry = first(bar);
  const left = Math.max(x, view.gutter) + 7;
  const room = Math.min(x + width, view.stage.width) - left - 5;
  const took = bar.kind === 'open' ? `open ${duration(lengthOf(bar, now))}` : duration(lengthOf(bar, now));
  const name = apart(visible(`${entry.operation} ${entry.endpoint}`));
  context.fillStyle = ink('--ink');
  const both = fitText(context, `${name}  ${took}`, room);
  if (!both.endsWith('…')) context.fillText(both, left, y + BAR / 2 + 0.5);
  else context.fillText(fitText(context, name, room), left, y + BAR / 2 + 0.5);
}

function paintBeside(context, view, bar, x, room, y, now) {
  context.globalAlpha = view.matches && !view.matches.has(bar) ? 0.18 : 1;
  context.fillStyle = ink('--quiet');
  const entry = first(bar);
  const took = bar.kind === 'exit' ? 'no entry' : duration(lengthOf(bar, now));
  context.fillText(fitText(context, `${apart(visible(entry.endpoint || entry.operation))}  ${took}`, room - 12), x + 5, y + BAR / 2 + 0.5);
  context.globalAlpha = 1;
}

// The silences in sight, from where to where; `lasts`: up to now.
function silences({ stage, span, gutter, model, end }) {
  const lasts = model.opens.length && end - model.last > model.last * 0.1;
  const gaps = lasts ? [...model.gaps, { start: model.last, end, lasts }] : model.gaps;
  return gaps.map((gap) => ({
    ...gap, x: Math.max(gutter, gutter + span.x(gap.start)), right: Math.min(stage.width, gutter + span.x(gap.end)),
  }));
}

function paintGaps(context, view) {
  for (const { x, right, lasts } of silences(view)) {
    context.fillStyle = ink(lasts ? '--hang' : '--gap');
    if (right - x >= 3) context.fillRect(x, AXIS, right - x, view.stage.height);
  }
}

function paintMarks(context, view) {
  const { stage, span, gutter } = view;
  context.fillStyle = ink('--hair');
  for (const at of span.ticks(96).marks) context.fillRect(Math.round(gutter + span.x(at)), AXIS, 1, stage.height);
}

function paintNow(context, view) {
  const x = view.gutter + view.span.x(view.end);
  context.fillStyle = ink('--bad');
  if (x >= view.gutter && x <= view.stage.width) context.fillRect(x, AXIS, 1, view.stage.height);
}

export function paintAxis(context, view) {
  const { stage, span, gutter, model } = view;
  paintRect(context, ink('--raised'), 0, 0, stage.width, AXIS);
  paintRect(context, ink('--line'), 0, AXIS - 1, stage.width, 1);
  context.fillStyle = ink('--quiet');
  const { marks, step } = span.ticks(96);
  for (const at of marks) {
    const x = gutter + span.x(at);
    if (x < gutter) continue;
    const words = offset(at, step);
    context.fillRect(x, AXIS - 6, 1, 5);
    if (x + 4 + context.measureText(words).width < stage.width) context.fillText(words, x + 4, AXIS / 2);
  }
  if (gutter) {
    paintRect(context, ink('--raised'), 0, 0, gutter, AXIS - 1);
    paintText(context, ink('--quiet'), fitText(context, clock(model.origin, 3), gutter - 16), 10, AXIS / 2);
  }
  paintSilence(context, view);
}

// How long the silences were, in words, beneath the last bar or over all at the foot of what is in sight.
function paintSilence(context, view) {
  const top = Math.min(view.stage.height - FOOT, view.bottom - view.stage.top);
  context.textAlign = 'center';
  for (const { start, end, x, right, lasts } of silences(view)) {
    const text = fitText(context, `nothing recorded for ${duration(end - start)}`, right - x - 8);
    if (right - x < 90 || text.endsWith('…')) continue;
    paintRect(context, ink(lasts ? '--hang' : '--gap'), x, top, right - x, FOOT);
    paintText(context, ink(lasts ? '--bad' : '--quiet'), text, (x + right) / 2, top + FOOT / 2);
  }
  context.textAlign = 'left';
}

function paintRuler(context, view, span) {
  const x = view.gutter + span.x(Math.min(view.ruler.from, view.ruler.to));
  const right = view.gutter + span.x(Math.max(view.ruler.from, view.ruler.to));
  context.fillStyle = ink('--focus');
  context.globalAlpha = 0.1;
  context.fillRect(x, AXIS, right - x, view.stage.height);
  context.globalAlpha = 1;
  context.fillRect(x, AXIS, 1, view.stage.height);
  context.fillRect(right, AXIS, 1, view.stage.height);
  const text = duration(Math.abs(view.ruler.to - view.ruler.from));
  const width = context.measureText(text).width + 12;
  const left = Math.max(view.gutter, Math.min((x + right - width) / 2, view.stage.width - width));
  context.fillRect(left, AXIS + 4, width, 18);
  paintText(context, ink('--ground'), text, left + 6, AXIS + 13);
}

function inSight(view) {
  const { top, height } = view.stage;
  return view.model.groups.filter((group) => group.top + group.height > top && group.top < top + height);
}

// The whole chain in little: one line a source, and a frame around what the timeline shows.
export function paintMap(context, view) {
  const { map, model, span, gutter } = view;
  paintRect(context, ink('--raised'), 0, 0, map.width, map.height);
  const end = view.mapEnd;
  const width = map.width - gutter - 8;
  const lane = Math.max(1, Math.min(6, (map.height - 8) / Math.max(1, model.groups.length)));
  model.groups.forEach((group, at) => {
    context.fillStyle = ink('--c', sourceClass(group.source));
    const y = 4 + at * lane;
    for (const row of group.rows.slice(0, 3)) {
      let drawn = -1;
      for (const bar of row) {
        const x = Math.floor((bar.start / end) * width);
        const right = Math.ceil((Math.min(bar.kind === 'open' ? view.end : bar.end, end) / end) * width);
        if (right <= drawn) continue;
        context.fillRect(gutter + Math.max(x, drawn), y, Math.max(1, right - Math.max(x, drawn)), Math.max(1, lane - 1));
        drawn = Math.max(right, x + 1);
      }
    }
  });
  const x = gutter + Math.max(0, (span.start / end) * width);
  const right = gutter + Math.min(width + 6, (span.end / end) * width);
  paintRect(context, ink('--shade'), gutter, 0, x - gutter, map.height);
  context.fillRect(right, 0, map.width - right, map.height);
  context.strokeStyle = ink('--focus');
  context.lineWidth = 1;
  context.strokeRect(x + 0.5, 0.5, Math.max(3, right - x - 1), map.height - 1);
  if (gutter) {
    context.font = FONT;
    context.textBaseline = 'middle';
    paintText(context, ink('--quiet'), fitText(context, `all: ${duration(model.last)}`, gutter - 16), 10, map.height / 2);
  }
}
