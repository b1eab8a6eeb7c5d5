/** What is told of an ablation: a heat map and a table for each signal. */

import { formatPercent, formatSeconds } from '../../command/format.ts';
import { mean, standardDeviation } from '../compare/bootstrap.ts';
import type { Ablation } from '../compare/results.ts';
import { margin, runsOf } from '../compare/statistics.ts';
import { counted, fixed, signed } from '../report/numbers.ts';
import { beginning, columnsOf, type Document, markedAsSmoke, type Section, tableSection } from '../report/sections.ts';
import { type Cell, type Grid, gridsOf } from './grid.ts';
import { drawHeatMap } from './report/heat-map.ts';

/** Everything that is told of an ablation, in reading order. */
export function ablationDocument(ablation: Ablation): Document {
  const { kind, task, seeds, arms } = ablation;
  const grids = gridsOf(ablation).filter(({ cells }) => cells.length > 0);
  const full = runsOf(arms, 'full').map(({ accuracy }) => 100 * accuracy);
  const deviation = standardDeviation(full);
  const spread =
    deviation === null
      ? ' with a single seed, so that no spread is known.'
      : `, standard deviation over the seeds ${fixed(deviation, 2)}: differences of that size between cells say nothing.`;
  const found = `${counted(arms.length - full.length, 'run')}, ${counted(seeds.length, 'seed')}. Full training: ${fixed(mean(full), 2)} %${spread}`;
  const document = {
    ...beginning(ablation, `Threshold, grace and signal of GradES on ${task}`, [
      grids.length === 0 ? 'Nothing was run.' : found,
    ]),
    summary: signalsSection(grids),
    parts: grids.flatMap((grid) => [
      {
        file: `ablation-${grid.signal}-peak.svg`,
        heading: `Threshold τ and grace α: ${nameOf(grid)}, on ${task}`,
        caption: 'Means over the seeds. A dashed cell was not run.',
        draw: (title: string, palette: Parameters<typeof drawHeatMap>[2]) => drawHeatMap(title, grid, palette),
      },
      ...gridSection(grid),
    ]),
  };
  return kind === 'smoke' ? markedAsSmoke(document) : document;
}

/** What the paper's tables 6 and 7 hold, a row a cell. */
function gridSection(grid: Grid): Section[] {
  const missing = grid.thresholds.length * grid.graces.length - grid.cells.length;
  const table = columnsOf(grid.cells, 2, {
    ...{ τ: ({ threshold }) => String(threshold), α: ({ grace }) => String(grace) },
    runs: ({ runs }) => String(runs),
    accuracy: ({ accuracy, deviation }) => fixed(accuracy, 2) + (deviation === null ? '' : ` ± ${fixed(deviation, 2)}`),
    difference: ({ difference }) => signed(difference, 2),
    operations: ({ operationsRatio }) => fixed(operationsRatio, 3),
    time: ({ seconds }) => formatSeconds(seconds),
    frozen: ({ frozenShare }) => formatPercent(frozenShare, 0),
    steps: ({ stepsShare }) => formatPercent(stepsShare, 0),
  });
  return tableSection(`Accuracy, operations and time, ${nameOf(grid)}`, table, [
    'Accuracy in percent, mean ± standard deviation over the seeds; difference to full training in points, operations over its own.' +
      (missing > 0 ? ` ${counted(missing, 'cell')} without a run.` : ''),
  ]);
}

/** One row a signal: what its whole grid gives, and its cheapest cell that is not half a point worse. */
function signalsSection(grids: readonly Grid[]): Section[] {
  const rows = grids.map(({ signal, cells }) => {
    const good = cells.filter(({ difference }) => difference >= -margin);
    const meanOf = (value: (cell: Cell) => number) => mean(cells.map(value));
    return { signal, meanOf, cheapest: good.sort((a, b) => a.operationsRatio - b.operationsRatio).at(0) };
  });
  const table = columnsOf(rows, 1, {
    signal: ({ signal }) => signal,
    difference: ({ meanOf }) =>
      signed(
        meanOf(({ difference }) => difference),
        2,
      ),
    operations: ({ meanOf }) =>
      fixed(
        meanOf(({ operationsRatio }) => operationsRatio),
        3,
      ),
    cheapest: ({ cheapest }) => (cheapest ? `τ ${cheapest.threshold}, α ${cheapest.grace}` : 'none'),
    'its difference': ({ cheapest }) => cheapest && signed(cheapest.difference, 2),
    'its operations': ({ cheapest }) => cheapest && fixed(cheapest.operationsRatio, 3),
  });
  return tableSection('Signals', table, [
    `Over all cells of each grid. The last three columns are its cheapest cell whose mean is not more than ${margin} ` +
      'points below full training: chosen after the fact, among many, and so flattered.',
  ]);
}

/** Every signal is a share of its own peak. */
function nameOf({ signal }: Grid): string {
  return `${signal} / peak`;
}
