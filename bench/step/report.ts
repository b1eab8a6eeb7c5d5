import type { Row } from '../row.ts';
import { textTable } from '../text-table.ts';
import { ours, patched, shipped } from './measurements.ts';

/** What the project asks of itself on an idle machine with a software adapter. */
const MOST_OF_JAX_JS = 0.6;
const MOST_COLD_SECONDS = 8;
const LEAST_SAVED_OF_PRUNED = 0.8;
const KERNELS_SHOWN = 8;

/** The rows as a person reads them. */
export function formatStepReport(rows: readonly Row[]): string {
  return [devices(rows), times(rows), savings(rows), kernels(rows), ratios(rows), notes(rows)]
    .filter((section) => section !== '')
    .join('\n\n');
}

function devices(rows: readonly Row[]): string {
  const lines = new Set(
    rows.map(({ device, adapter, software }) => `${device}: ${adapter}${software ? ' (software: a CPU, no GPU)' : ''}`),
  );
  return [...lines].join('\n');
}

function times(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.case,
    row.implementation,
    row.device,
    ...[row.median, row.min, row.max].map(milliseconds),
    `${row.samples}`,
    milliseconds(row.firstMilliseconds ?? row.median),
    row.firstLoss?.toFixed(4) ?? '',
    `${row.othersShare === null ? '?' : percent(row.othersShare)}${row.busy ? ' BUSY' : ''}`,
  ]);
  const titles = ['case', 'by', 'on', 'median ms', 'min', 'max', 'steps', 'first', 'first loss', 'others use'];
  return textTable(titles, cells, 3);
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
            milliseconds(freeze.slowestAfter),
            milliseconds(freeze.slowestBefore),
          ],
        ]
      : [],
  );
  if (cells.length === 0) return '';
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
    'slowest after',
    'slowest before',
  ];
  return `What freezing saves (${ours}):\n${textTable(titles, cells, 2)}`;
}

function kernels(rows: readonly Row[]): string {
  const tables = rows.flatMap(({ device, median, kernels = [] }) => {
    if (kernels.length === 0) return [];
    const all = kernels.reduce((sum, kernel) => sum + kernel.milliseconds, 0);
    const rest = kernels.slice(KERNELS_SHOWN);
    const cells = kernels
      .slice(0, KERNELS_SHOWN)
      .map(({ kernel, dispatches, milliseconds: time, flops }) => [
        kernel,
        `${dispatches}`,
        milliseconds(time),
        percent(time / all),
        (flops / time / 1e6).toFixed(1),
      ]);
    const restTime = rest.reduce((sum, kernel) => sum + kernel.milliseconds, 0);
    const restDispatches = rest.reduce((sum, kernel) => sum + kernel.dispatches, 0);
    cells.push([`${rest.length} others`, `${restDispatches}`, milliseconds(restTime), percent(restTime / all), '']);
    const title = `Where a step spends its time (${ours} on ${device}, nothing frozen): ${milliseconds(all)} ms of ${milliseconds(median)} by dispatches`;
    return [`${title}\n${textTable(['kernel', 'dispatches', 'ms', 'share', 'GF/s'], cells)}`];
  });
  return tables.join('\n\n');
}

function ratios(rows: readonly Row[]): string {
  const find = (name: string, implementation: string, device: string) =>
    rows.find((row) => row.case === name && row.implementation === implementation && row.device === device);
  const lines: string[] = [];
  const compare = (device: string, peer: string, peerDevice: string, most?: number) => {
    const [own, other] = [find('none', ours, device), find('none', peer, peerDevice)];
    if (!own || !other) return;
    const ratio = own.median / other.median;
    const verdict = most === undefined ? '' : ` (${ratio <= most ? 'met' : 'NOT MET'}: at most ${most})`;
    lines.push(`${ours} on ${device} takes ${ratio.toFixed(2)} of ${peer} on ${peerDevice}${verdict}`);
  };
  compare('webgpu', `jax-js, ${shipped}`, 'webgpu', MOST_OF_JAX_JS);
  compare('webgpu', `jax-js, ${patched}`, 'webgpu');
  compare('webgpu', `tfjs, ${shipped}`, 'webgpu');
  compare('webgpu', `tfjs, ${patched}`, 'webgpu');
  compare('webgpu', 'jax-js', 'wasm');
  compare('cpu', 'jax-js', 'wasm');
  compare('cpu', 'tfjs', 'wasm');
  for (const row of rows) {
    if (row.case === 'cold' && row.device === 'webgpu') {
      const seconds = row.median / 1000;
      const verdict = seconds < MOST_COLD_SECONDS ? 'met' : 'NOT MET';
      lines.push(
        `the cold first step on webgpu takes ${seconds.toFixed(1)} s (${verdict}: under ${MOST_COLD_SECONDS} s)`,
      );
    }
    if (!row.freeze) continue;
    const { savedOfPruned, medianBefore } = row.freeze;
    const verdict = savedOfPruned >= LEAST_SAVED_OF_PRUNED ? 'met' : 'NOT MET';
    lines.push(
      `${row.case} on ${row.device} saves ${savedOfPruned.toFixed(2)} of its pruned dispatches (${verdict}: at least ${LEAST_SAVED_OF_PRUNED}), ` +
        `and its median is ${row.median <= medianBefore ? 'not above' : 'ABOVE'} the one before`,
    );
  }
  return lines.join('\n');
}

function notes(rows: readonly Row[]): string {
  const lines = [
    'first: the first step of the case, the longest of its rounds. For none, early and late Mesa may find compiled shaders.',
    'by counting: share of the floating-point operations that the frozen step does not make.',
    `${ours} keeps query, key and value as three matrices, so that each can freeze at its own time.`,
  ];
  if (rows.some(({ implementation }) => implementation !== ours)) {
    lines.push(
      'The peers compute them as one fused product of three times the width. All start from the same weights.',
    );
  }
  if (rows.some(({ busy }) => busy)) {
    lines.push(
      'BUSY: other processes used more than 5 % of the machine. Such figures can be wrong by a factor of two.',
    );
  }
  return lines.join('\n');
}

function milliseconds(value: number): string {
  return value.toFixed(value < 100 ? 1 : 0);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}
