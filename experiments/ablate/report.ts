/** What is told of an ablation: a heat map and tables for each signal. */

import { formatPercent, formatSeconds } from '../../command/format.ts';
import { tableOf } from '../../command/text-table.ts';
import { mean, standardDeviation } from '../compare/bootstrap.ts';
import { margin } from '../compare/statistics.ts';
import { beginning, columnsOf } from '../compare/tables.ts';
import { absent, counted, fixed, signed } from '../report/numbers.ts';
import { type Document, markedAsSmoke, type Picture, type Section } from '../report/sections.ts';
import { type Ablation, type Cell, cellsOf, type Grid, gridsOf } from './grid.ts';
import { drawHeatMap } from './report/heat-map.ts';

/** Everything that is told of an ablation, in reading order. */
export function ablationDocument(ablation: Ablation): Document {
  const grids = gridsOf(ablation);
  const document = {
    ...heading(ablation),
    summary: signalsSections(grids),
    parts: grids.flatMap((grid) => [heatMap(ablation, grid), ...gridSections(grid)]),
  };
  return ablation.kind === 'smoke' ? markedAsSmoke(document) : document;
}

function heatMap({ task }: Ablation, grid: Grid): Picture {
  return {
    file: `ablation-${nameOf(grid).replaceAll(/[^a-z0-9]+/g, '-')}.svg`,
    heading: `Threshold τ and grace α: ${nameOf(grid)}, on ${task}`,
    caption: 'Means over the seeds. A dashed cell was not run.',
    draw: (title, palette) => drawHeatMap(title, grid, palette),
  };
}

function heading(ablation: Ablation) {
  const { task, rows } = ablation;
  const full = [...new Map(rows.map(({ seed, fullAccuracy }) => [seed, 100 * fullAccuracy])).values()];
  const deviation = standardDeviation(full);
  const spread =
    deviation === null
      ? ' with a single seed, so that no spread is known.'
      : `, standard deviation over the seeds ${fixed(deviation, 2)}: differences of that size between cells say nothing.`;
  const runs = `${counted(rows.length, 'run')}, ${counted(full.length, 'seed')}. Full training: ${fixed(mean(full), 2)} %`;
  return beginning(ablation, `Threshold, grace and signal of GradES on ${task}`, [
    rows.length === 0 ? 'Nothing was run.' : `${runs}${spread}`,
  ]);
}

/** The shapes of the paper's tables 6 and 7: a row a threshold, a column a grace. */
function gridSections(grid: Grid): Section[] {
  const cells = cellsOf(grid);
  const missing = grid.cells.flat().length - cells.length;
  const section = (title: string, paragraph: string, format: (cell: Cell) => string): Section => {
    const rows = grid.thresholds.map((threshold, row) => [
      String(threshold),
      ...grid.cells[row].map((cell) => (cell ? format(cell) : absent)),
    ]);
    const table = tableOf(['τ \\ α', ...grid.graces.map(String)], rows);
    return { heading: `${title}, ${nameOf(grid)}`, paragraphs: [paragraph], table };
  };
  return [
    section(
      'Accuracy',
      'Percent, mean ± standard deviation over the seeds; in brackets the difference to full training in points.' +
        (missing > 0 ? ` ${counted(missing, 'cell')} without a run.` : ''),
      ({ accuracy, deviation, difference }) =>
        `${fixed(accuracy, 2)}${deviation === null ? '' : ` ± ${fixed(deviation, 2)}`} (${signed(difference, 2)})`,
    ),
    section('Operations', 'Over those of full training of the same seeds.', (cell) => fixed(cell.operationsRatio, 3)),
    ...(cells.some(({ seconds }) => seconds !== null)
      ? [
          section('Time', 'Mean of the runs; a dash where not every run was timed.', ({ seconds }) =>
            seconds === null ? absent : formatSeconds(seconds),
          ),
        ]
      : []),
  ];
}

/** One row a signal: what its whole grid gives, and its cheapest cell that is not half a point worse. */
function signalsSections(grids: readonly Grid[]): Section[] {
  if (grids.length === 0) return [];
  const rows = grids.map((grid) => {
    const cells = cellsOf(grid);
    const good = cells.filter(({ difference }) => difference >= -margin);
    const differences = cells.map(({ difference }) => difference);
    return { grid, cells, differences, cheapest: good.sort((a, b) => a.operationsRatio - b.operationsRatio)[0] };
  });
  const meanOf = (cells: readonly Cell[], value: (cell: Cell) => number) => mean(cells.map(value));
  const table = columnsOf<(typeof rows)[number]>(rows, 1, {
    signal: ({ grid }) => grid.signal,
    runs: ({ grid }) => String(grid.rows.length),
    difference: ({ differences }) => signed(mean(differences), 2),
    lowest: ({ differences }) => signed(Math.min(...differences), 2),
    highest: ({ differences }) => signed(Math.max(...differences), 2),
    operations: ({ cells }) =>
      fixed(
        meanOf(cells, ({ operationsRatio }) => operationsRatio),
        3,
      ),
    frozen: ({ cells }) =>
      formatPercent(
        meanOf(cells, ({ frozenShare }) => frozenShare),
        0,
      ),
    steps: ({ cells }) =>
      formatPercent(
        meanOf(cells, ({ stepsShare }) => stepsShare),
        0,
      ),
    cheapest: ({ cheapest }) => (cheapest ? `τ ${cheapest.threshold}, α ${cheapest.grace}` : 'none'),
    'its difference': ({ cheapest }) => cheapest && signed(cheapest.difference, 2),
    'its operations': ({ cheapest }) => cheapest && fixed(cheapest.operationsRatio, 3),
  });
  return [
    {
      heading: 'Signals',
      paragraphs: [
        `Over all cells of each grid. The last three columns are its cheapest cell whose mean is not more than ${margin} ` +
          'points below full training: chosen after the fact, among many, and so flattered.',
      ],
      table,
    },
  ];
}

/** Every signal is a share of its own peak. */
function nameOf({ signal }: Grid): string {
  return `${signal} / peak`;
}
