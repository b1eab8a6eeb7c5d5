/** What a freeze in the middle of training saves, on the step of the step suite. */

import { formatPercent } from '../../command/format.ts';
import { ours } from '../peers.ts';
import { find, milliseconds, table, who } from '../report.ts';
import type { Row } from '../row.ts';
import { stepNotes, suite as stepSuite, stepTable } from '../step/suite.ts';
import type { Suite } from '../suite.ts';

/** The least part of the pruned dispatches' time that the project asks a freeze to save. */
const leastSavedOfPruned = 0.9;

const { warm } = stepSuite.parts;

export const suite: Suite = {
  parts: { warm },
  peers: { suffix: '' },
  report: (rows) => [stepTable(rows), savings(rows), besideThePeers(rows), stepNotes, notes],
};

function savings(rows: readonly Row[]): string {
  const change = (before: number, after: number) => `${(before / 1024).toFixed(0)} → ${(after / 1024).toFixed(0)}`;
  const ofPruned = ({ series: { saved, pruned } }: Row) => saved.median / pruned.median;
  return `What freezing saves (${ours}):\n${table(
    rows.filter(({ series }) => series.saved),
    {
      ...{ frozen: who.case, on: who.on },
      'ms before': ({ series }) => milliseconds(series.before.median),
      after: ({ median }) => milliseconds(median),
      saved: ({ series: { saved, before } }) =>
        `${milliseconds(saved.median)} (${formatPercent(saved.median / before.median, 0)})`,
      'by counting': ({ figures }) => formatPercent(figures.flopsShare, 0),
      'pruned (dispatches)': ({ series, figures }) =>
        `${milliseconds(series.pruned.median)} (${figures.prunedDispatches})`,
      'saved/pruned': (row) => ofPruned(row).toFixed(2),
      [`at least ${leastSavedOfPruned}`]: (row) => (ofPruned(row) >= leastSavedOfPruned ? 'met' : 'NOT MET'),
      added: ({ figures }) => `${figures.addedDispatches}`,
      compiled: ({ figures }) => `${figures.compiledPipelines}`,
      'live KiB': ({ figures }) => change(figures.liveBytesBefore, figures.liveBytesAfter),
      'reserved KiB': ({ figures }) => change(figures.reservedBytesBefore, figures.reservedBytesAfter),
    },
    2,
  )}`;
}

/** How much shorter a frozen step is than an unfrozen one of the same implementation. */
function besideThePeers(rows: readonly Row[]): string {
  const pairs = rows.flatMap((row) => {
    const none = find(rows, { ...row, case: 'none' });
    return none && (row.case === 'early' || row.case === 'late') ? [{ ...row, unfrozen: none.median }] : [];
  });
  return `Beside the peers:\n${table(
    pairs,
    {
      ...{ frozen: who.case, by: who.by, on: who.on },
      'nothing frozen ms': ({ unfrozen }) => milliseconds(unfrozen),
      'frozen ms': ({ median }) => milliseconds(median),
      saved: ({ median, unfrozen }) => formatPercent(1 - median / unfrozen, 0),
    },
    3,
  )}`;
}

const notes = `by counting: the share of floating-point operations that the frozen step does not make.
pruned: the dispatches that are gone, each timed by itself.
saved: the median over the rounds of what each saved, the stretch before less the one after.
live, reserved: on the device between two steps, with nothing kept for the next.`;
