/** The page of a run of `npm start`. */

import { gradesInWords, splitHalfInWords } from '../report/explanations.ts';
import type { Document } from '../report/sections.ts';
import { drawAlive, drawSignals, watchedRun } from '../report/watched.ts';
import { drawCurves } from './report/curves.ts';
import { freezesOf, type Results, resultsInWords, resultsTable } from './results.ts';

/** The final table and the pictures. */
export function fragmentsDocument(results: Results): Document {
  const { grades, config } = results;
  const { steps, threshold, watched: signals, events: freezes, graceSteps } = grades;
  const run = watchedRun({ steps, scheduleSteps: config.steps, signals, freezes, threshold });
  return {
    title: 'File fragments: which matrices converged, and when',
    introduction: [gradesInWords],
    summary: [{ heading: 'What came of it', paragraphs: [resultsInWords(results)], table: resultsTable(results) }],
    notes: [],
    parts: [
      {
        file: 'signals.svg',
        heading: `Split-half signal ρ, relative to its own peak: ${freezesOf(grades).length} of ${signals.length} matrices frozen`,
        caption: splitHalfInWords,
        draw: (title, palette) => drawSignals(title, [run], palette, graceSteps),
      },
      {
        file: 'alive.svg',
        heading: 'What still learns',
        caption: 'A bar a matrix, with the step of its freeze. Where all bars end, the run has ended.',
        draw: (title, palette) => drawAlive(title, [{ name: 'GradES', runs: [run] }], palette),
      },
      {
        file: 'curves.svg',
        heading: 'Loss and accuracy',
        caption:
          'Both arms start from the same weights and see the same batches, so that they are one line until the first ' +
          'freeze. A plain stop is full training ended at the operations of GradES. On the way the accuracy is measured on ' +
          'a fixed part of the held-out files; the table has it for all of them.',
        draw: (title, palette) => drawCurves(title, results, palette),
      },
    ],
  };
}
