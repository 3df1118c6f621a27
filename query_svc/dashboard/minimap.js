// The whole chain in little: one line a source, and a frame around what the timeline shows.

import { duration } from './format.js';
import { fitText, FONT, paintRect, paintText } from './stage.js';
import { ink, sourceClass } from './theme.js';

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
