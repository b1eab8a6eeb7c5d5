/** The page of a run of `npm start`, drawn from plain data. */

import { gradesInWords, splitHalfInWords } from '../report/explanations.ts';
import { PAPER, type Palette } from '../report/palette.ts';
import { documentPage } from '../report/sections.ts';
import { drawAlive, drawSignals as drawSignalsOf } from '../report/watched.ts';
import { drawCurves } from './report/curves.ts';
import type { ReportData } from './report/data.ts';

/** The watched matrices of a block, in their usual order. */
export const MATRIX_KINDS = ['query', 'key', 'value', 'output', 'gate', 'up', 'down'] as const;

/** One HTML file that needs no other: the final table and the pictures, on a light or a dark ground. */
export function reportPage(data: ReportData): string {
  return documentPage({
    title: data.title,
    introduction: [gradesInWords],
    summary: [{ heading: 'What came of it', paragraphs: [data.summary], table: data.table }],
    notes: [],
    about: [],
    parts: [
      {
        file: 'signals.svg',
        heading: 'Gradient signals',
        caption: splitHalfInWords,
        draw: (_, palette) => drawSignals(data, palette),
      },
      {
        file: 'alive.svg',
        heading: 'What still learns',
        caption: 'A bar a matrix, with the step of its freeze. Where all bars end, the run has ended.',
        draw: (title, palette) => drawAlive(title, [{ name: 'GradES', runs: [watchedRun(data)] }], palette),
      },
      {
        file: 'curves.svg',
        heading: 'Loss and accuracy',
        caption:
          'Both arms start from the same weights and see the same batches, so that they are one line until the first ' +
          'freeze. A plain stop is full training ended at the operations of GradES. On the way the accuracy is measured on ' +
          'a fixed part of the held-out files; the table has it for all of them.',
        draw: (title, palette) => drawCurves(title, data, palette),
      },
    ],
  });
}

/** The signal of every matrix, as an SVG file: on a white ground unless another palette is given. */
export function drawSignals(data: ReportData, palette: Palette = PAPER): string {
  const { quantity, matrices, graceSteps } = data;
  const frozen = matrices.filter((matrix) => matrix.frozen).length;
  const title = `${quantity}: ${frozen} of ${matrices.length} matrices frozen`;
  return drawSignalsOf(title, [watchedRun(data)], palette, graceSteps);
}

function watchedRun({ endedAt, totalSteps, matrices }: ReportData) {
  return { steps: endedAt ?? totalSteps, totalSteps, matrices };
}
