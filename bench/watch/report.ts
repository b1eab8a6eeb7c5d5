import type { Row } from '../row.ts';
import { textTable } from '../text-table.ts';

/** What the project asks of the default rule. */
const mostOfStep = 0.01;

export function formatWatchReport(rows: readonly Row[]): string {
  const adapters = new Set(
    rows.map(({ device, adapter, software }) => `${device}: ${adapter}${software ? ' (software: a CPU, no GPU)' : ''}`),
  );
  const cells = rows.flatMap(({ case: name, device, watch, othersShare, busy }) =>
    watch
      ? [
          [
            name,
            device,
            watch.medianPlain.toFixed(1),
            `${percent(watch.share)} (${percent(watch.low)} to ${percent(watch.high)})`,
            `${watch.addedDispatches}`,
            `${watch.addedMilliseconds.toFixed(2)} (${percent(watch.shareByDispatches)})`,
            `${watch.readBacks.plain} / ${watch.readBacks.watched}`,
            `${othersShare === null ? '?' : `${(100 * othersShare).toFixed(0)} %`}${busy ? ' BUSY' : ''}`,
          ],
        ]
      : [],
  );
  const titles = [
    'watched quantity',
    'on',
    'plain ms',
    'more time (95 % interval)',
    'more dispatches in a check',
    'their ms (share)',
    'read-backs',
    'others use',
  ];
  return [
    [...adapters].join('\n'),
    textTable(titles, cells, 2),
    rows.flatMap(verdict).join('\n'),
    'plain: the same training without a rule, in turns with the watched one. Nothing freezes. The default checks every fourth\n' +
      'step of a schedule of 10,000 steps.\n' +
      'more time: median over pairs of neighbouring stretches. their ms: the added dispatches, each timed by itself.\n' +
      'read-backs: times that four steps copy values to the host, plain / watched.',
  ].join('\n\n');
}

function verdict({ case: name, device, watch }: Row): string[] {
  if (!watch || !name.startsWith('default')) return [];
  const { share, low, high } = watch;
  const met =
    share <= mostOfStep
      ? high <= mostOfStep
        ? 'met'
        : 'met, within the noise'
      : low <= mostOfStep
        ? 'NOT SHOWN'
        : 'NOT MET';
  return [`${name} on ${device}: ${percent(share)} of the step (${met}: at most ${percent(mostOfStep)})`];
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
