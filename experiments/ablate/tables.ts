import { mean, standardDeviation } from '../compare/bootstrap.ts';
import { margin } from '../compare/statistics.ts';
import { formatPercent, formatSeconds } from '../fragments/format.ts';
import { gradesInWords } from '../report/explanations.ts';
import { absent, counted, fixed, signed } from '../report/numbers.ts';
import { type Document, documentMarkdown, documentText, type Section } from '../report/sections.ts';
import { type Cell, cellsOf, type Grid, gridsOf } from './grid.ts';
import type { Ablation } from './results.ts';

/** What ends on the terminal. */
export function summaryText(ablation: Ablation): string {
  return documentText(tablesDocument(ablation));
}

/** Every table in Markdown. */
export function markdownTables(ablation: Ablation): string {
  return documentMarkdown(tablesDocument(ablation));
}

function tablesDocument(ablation: Ablation): Document {
  const grids = gridsOf(ablation);
  return {
    ...heading(ablation),
    summary: [],
    parts: [...grids.flatMap((grid) => gridSections(grid)), ...quantitiesSections(grids)],
  };
}

export function heading({
  kind,
  date,
  machine,
  device,
  task,
  model,
  rows,
}: Ablation): Omit<Document, 'summary' | 'parts'> {
  const title = `Threshold, grace and quantity of GradES on ${task}`;
  const full = [...new Map(rows.map(({ seed, fullAccuracy }) => [seed, 100 * fullAccuracy])).values()];
  const deviation = standardDeviation(full);
  return {
    title: kind === 'smoke' ? `Smoke run, not evidence: ${title}` : title,
    introduction: [gradesInWords],
    notes:
      kind === 'smoke'
        ? ['Smoke run, not evidence. It shows that the ablation runs from end to end; its numbers say nothing.']
        : [],
    about: [
      `${date}. ${machine}. Device: ${device.kind}, ${device.adapter}. Model: ${model}.`,
      rows.length === 0
        ? 'Nothing was run.'
        : `${counted(rows.length, 'run')}, ${counted(full.length, 'seed')}. Full training: ${fixed(mean(full), 2)} %` +
          (deviation === null
            ? ' with a single seed, so that no spread is known.'
            : `, standard deviation over the seeds ${fixed(deviation, 2)}: differences of that size between cells say nothing.`),
    ],
  };
}

/** The shapes of the paper's tables 6 and 7: a row a threshold, a column a grace. */
export function gridSections(grid: Grid): Section[] {
  const name = nameOf(grid);
  const cells = cellsOf(grid);
  const table = (format: (cell: Cell) => string) => ({
    columns: [{ title: 'τ \\ α' }, ...grid.graces.map((grace) => ({ title: String(grace) }))],
    rows: grid.thresholds.map((threshold, index) => [
      String(threshold),
      ...grid.cells[index]!.map((cell) => (cell ? format(cell) : absent)),
    ]),
  });
  const empty = grid.cells.flat().length - cells.length;
  const timed = cells.filter(({ seconds }) => seconds !== null).length;
  return [
    {
      heading: `Accuracy, ${name}`,
      paragraphs: [
        'Percent, mean ± standard deviation over the seeds; in brackets the difference to full training in points.',
        ...(empty > 0 ? [`${counted(empty, 'cell')} without a run.`] : []),
      ],
      table: table(
        ({ accuracy, deviation, difference }) =>
          `${fixed(accuracy, 2)}${deviation === null ? '' : ` ± ${fixed(deviation, 2)}`} (${signed(difference, 2)})`,
      ),
    },
    {
      heading: `Operations, ${name}`,
      paragraphs: ['Over those of full training of the same seeds.'],
      table: table(({ operationsRatio }) => fixed(operationsRatio, 3)),
    },
    timed === 0
      ? { heading: `Time, ${name}`, paragraphs: ['Not timed.'] }
      : {
          heading: `Time, ${name}`,
          paragraphs: ['Mean of the runs; a dash where not every run was timed.'],
          table: table(({ seconds }) => (seconds === null ? absent : formatSeconds(seconds))),
        },
  ];
}

/** One row a quantity: what its whole grid gives, and its cheapest cell that is not half a point worse. */
export function quantitiesSections(grids: readonly Grid[]): Section[] {
  if (grids.length === 0) return [];
  return [
    {
      heading: 'Quantities',
      paragraphs: [
        `Over all cells of each grid. The last three columns are its cheapest cell whose mean is not more than ${margin} ` +
          'points below full training: chosen after the fact, among many, and so flattered.',
      ],
      table: {
        columns: [
          { title: 'quantity' },
          { title: 'scale', align: 'left' },
          ...['runs', 'difference', 'lowest', 'highest', 'operations', 'frozen', 'steps'].map((title) => ({ title })),
          { title: 'cheapest', align: 'left' },
          { title: 'difference' },
          { title: 'operations' },
        ],
        rows: grids.map((grid) => {
          const cells = cellsOf(grid);
          const differences = cells.map(({ difference }) => difference);
          const cheapest = cells
            .filter(({ difference }) => difference >= -margin)
            .sort((a, b) => a.operationsRatio - b.operationsRatio)[0];
          return [
            grid.quantity,
            grid.scale,
            String(grid.rows.length),
            signed(mean(differences), 2),
            signed(Math.min(...differences), 2),
            signed(Math.max(...differences), 2),
            fixed(mean(cells.map(({ operationsRatio }) => operationsRatio)), 3),
            formatPercent(mean(cells.map(({ frozenShare }) => frozenShare)), 0),
            formatPercent(mean(cells.map(({ stepsShare }) => stepsShare)), 0),
            ...(cheapest
              ? [
                  `τ ${cheapest.threshold}, α ${cheapest.grace}`,
                  signed(cheapest.difference, 2),
                  fixed(cheapest.operationsRatio, 3),
                ]
              : ['none', absent, absent]),
          ];
        }),
      },
    },
  ];
}

export function nameOf({ quantity, scale }: Grid): string {
  return `${quantity} / ${scale}`;
}
