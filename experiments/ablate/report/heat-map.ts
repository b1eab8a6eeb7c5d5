/** Thresholds down, graces across: what it costs in accuracy, and what is left of the operations and of the time. */

import { cell, text } from '@observablehq/plot';
import { formatSeconds } from '../../../command/format.ts';
import type { ArmResult } from '../../compare/results.ts';
import { fixed, signed } from '../../report/numbers.ts';
import type { Palette } from '../../report/palette.ts';
import { drawPanels } from '../../report/panels.ts';

/** One setting over all seeds, beside full training. */
export interface Cell {
  /** Thresholds of different signals cannot be compared: each is a share of the signal's own peak. */
  signal: string;
  threshold: number;
  grace: number;
  /** None where the setting did not run. */
  runs: readonly ArmResult[];
  /** Points, minus full training of the same seeds. */
  difference: number;
  operationsRatio: number;
  seconds: number;
}

/** Fainter than the text that stands on it. */
const DEEPEST = 0.6;

interface Map {
  name: string;
  words(cell: Cell): string;
  /** From −1, the worst, to 1. */
  depth(cell: Cell): number;
}

export function drawHeatMap(title: string, all: readonly Cell[], palette: Palette): string {
  const cells = all.filter(({ runs }) => runs.length > 0);
  const missing = all.filter(({ runs }) => runs.length === 0);
  const graces = ascending(all.map(({ grace }) => grace));
  const thresholds = ascending(all.map(({ threshold }) => threshold));
  const steepest = Math.max(1, ...cells.map(({ difference }) => Math.abs(difference)));
  const fewest = Math.min(0.99, ...cells.map(({ operationsRatio }) => operationsRatio));
  const slowest = Math.max(...cells.map(({ seconds }) => seconds));
  const maps: Map[] = [
    {
      name: 'accuracy minus full training, points',
      words: ({ difference }) => signed(difference, 2),
      depth: ({ difference }) => difference / steepest,
    },
    {
      name: 'operations over full training',
      words: ({ operationsRatio }) => fixed(operationsRatio, 2),
      depth: ({ operationsRatio }) => (1 - operationsRatio) / (1 - fewest),
    },
    {
      name: 'time',
      words: ({ seconds }) => formatSeconds(seconds),
      depth: ({ seconds }) => 1 - seconds / slowest,
    },
  ];
  const place = { x: 'grace', y: 'threshold', inset: 1 } as const;
  return drawPanels({
    title,
    description: cells
      .map((each) => `τ ${each.threshold}, α ${each.grace}: ${signed(each.difference, 2)} points`)
      .join('; '),
    legend: [
      { colour: palette.live, words: 'less accurate, or dearer, than full training', sample: 'ground' },
      { colour: palette.frozen, words: 'more accurate, or cheaper', sample: 'ground' },
    ],
    columns: 3,
    left: 50,
    xLabel: 'α, the grace period as a share of the schedule',
    yLabel: 'τ, the threshold',
    xFormat: (grace) => `α ${grace}`,
    yFormat: (threshold) => `τ ${threshold}`,
    palette,
    panels: maps.map(({ name, words, depth }) => ({
      name,
      x: { type: 'band', domain: graces },
      y: { type: 'band', domain: thresholds },
      height: 34 * thresholds.length,
      marks: [
        cell(missing, { ...place, fill: 'none', stroke: palette.line, strokeDasharray: '2 3' }),
        cell(cells, {
          ...place,
          fill: (each: Cell) => (depth(each) < 0 ? palette.live : palette.frozen),
          fillOpacity: (each: Cell) => DEEPEST * Math.min(1, Math.abs(depth(each))),
        }),
        text(cells, { x: 'grace', y: 'threshold', text: words, fill: palette.ink }),
      ],
    })),
  });
}

function ascending(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}
