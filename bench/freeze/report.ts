import { ours } from '../implementations.ts';
import type { Row } from '../row.ts';
import { formatDevices, formatTimes, milliseconds, percent } from '../step/report.ts';
import { textTable } from '../text-table.ts';

/** What the project asks of itself. */
const leastSavedOfPruned = 0.9;

export function formatFreezeReport(rows: readonly Row[]): string {
  return [formatDevices(rows), formatTimes(rows), savings(rows), memory(rows), peers(rows), verdicts(rows), notes]
    .filter((section) => section !== '')
    .join('\n\n');
}

function savings(rows: readonly Row[]): string {
  const cells = rows.flatMap(({ case: name, device, median, freeze }) =>
    freeze
      ? [
          [
            name,
            device,
            milliseconds(freeze.medianBefore),
            milliseconds(median),
            `${milliseconds(freeze.saved)} (${percent(freeze.saved / freeze.medianBefore)})`,
            percent(freeze.flopsShare),
            `${milliseconds(freeze.prunedMilliseconds)} (${freeze.prunedDispatches})`,
            freeze.savedOfPruned.toFixed(2),
            `${freeze.addedDispatches}`,
            `${freeze.compiled}`,
            milliseconds(freeze.slowestAfter),
            milliseconds(freeze.slowestBefore),
          ],
        ]
      : [],
  );
  const titles = [
    'frozen',
    'on',
    'before ms',
    'after',
    'saved',
    'by counting',
    'pruned (dispatches)',
    'saved/pruned',
    'added',
    'compiled',
    'slowest after',
    'slowest before',
  ];
  return `What freezing saves (${ours}):\n${textTable(titles, cells, 2)}`;
}

function memory(rows: readonly Row[]): string {
  const kibibytes = (bytes: number) => `${(bytes / 1024).toFixed(0)}`;
  const cells = rows.flatMap(({ case: name, device, freeze }) =>
    freeze
      ? [
          [
            name,
            device,
            ...[freeze.bytesBefore.live, freeze.bytesAfter.live].map(kibibytes),
            ...[freeze.bytesBefore.reserved, freeze.bytesAfter.reserved].map(kibibytes),
          ],
        ]
      : [],
  );
  const titles = ['frozen', 'on', 'live KiB before', 'after', 'reserved KiB before', 'after'];
  return `Between two steps, with nothing kept for the next (${ours}):\n${textTable(titles, cells, 2)}`;
}

/** How much shorter a frozen step is, beside the peers. */
function peers(rows: readonly Row[]): string {
  const cells = rows.flatMap((row) => {
    if (row.case !== 'early' && row.case !== 'late') return [];
    const none = rows.find(
      (other) => other.case === 'none' && other.implementation === row.implementation && other.device === row.device,
    );
    return none
      ? [
          [
            row.case,
            row.implementation,
            row.device,
            milliseconds(none.median),
            milliseconds(row.median),
            percent(1 - row.median / none.median),
          ],
        ]
      : [];
  });
  return `Beside the peers:\n${textTable(['frozen', 'by', 'on', 'nothing frozen ms', 'frozen', 'saved'], cells, 3)}`;
}

function verdicts(rows: readonly Row[]): string {
  return rows
    .flatMap(({ case: name, device, median, freeze }) =>
      freeze
        ? [
            `${name} on ${device} saves ${freeze.savedOfPruned.toFixed(2)} of its pruned dispatches ` +
              `(${freeze.savedOfPruned >= leastSavedOfPruned ? 'met' : 'NOT MET'}: at least ${leastSavedOfPruned}), ` +
              `and its median is ${median <= freeze.medianBefore ? 'not above' : 'ABOVE'} the one before`,
          ]
        : [],
    )
    .join('\n');
}

const notes = [
  'early: embeddings and block 0; late: block 1, the last norm and the head; most: all but the last norm, the head and the',
  'down matrix of block 1.',
  'by counting: share of the floating-point operations that the frozen step does not make.',
  'pruned: the dispatches that are gone, each timed by itself. saved: median over rounds of the stretch before less the one after.',
].join('\n');
