import { ours, patched, shipped } from '../implementations.ts';
import { pyTorchModes, pyTorchName } from '../pytorch.ts';
import type { Row } from '../row.ts';
import { textTable } from '../text-table.ts';

/** What the project asks of itself on an idle machine with a software adapter. */
const MOST_OF_SHIPPED = 0.4;
const MOST_OF_PATCHED = 0.6;
const MOST_COLD_SECONDS = 4;
const KERNELS_SHOWN = 8;

/** The rows as a person reads them. */
export function formatStepReport(rows: readonly Row[]): string {
  return [formatDevices(rows), formatTimes(rows), kernels(rows), ratios(rows), notes(rows)]
    .filter((section) => section !== '')
    .join('\n\n');
}

export function formatDevices(rows: readonly Row[]): string {
  const lines = new Set(
    rows.map(({ device, adapter, software }) => `${device}: ${adapter}${software ? ' (software: a CPU, no GPU)' : ''}`),
  );
  return [...lines].join('\n');
}

/** All cases of all implementations. */
export function formatTimes(rows: readonly Row[]): string {
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
  compare('webgpu', `jax-js, ${shipped}`, 'webgpu', MOST_OF_SHIPPED);
  compare('webgpu', `jax-js, ${patched}`, 'webgpu', MOST_OF_PATCHED);
  compare('webgpu', `tfjs, ${shipped}`, 'webgpu');
  compare('webgpu', `tfjs, ${patched}`, 'webgpu');
  compare('webgpu', 'jax-js', 'wasm');
  compare('cpu', 'jax-js', 'wasm', 1);
  compare('cpu', 'tfjs', 'wasm');
  for (const mode of pyTorchModes) {
    compare('webgpu', pyTorchName(mode), 'cuda');
    compare('cpu', pyTorchName(mode), 'cpu');
  }
  for (const row of rows) {
    if (row.case === 'cold' && row.device === 'webgpu') {
      const seconds = row.median / 1000;
      const verdict = seconds < MOST_COLD_SECONDS ? 'met' : 'NOT MET';
      lines.push(
        `the cold first step on webgpu takes ${seconds.toFixed(1)} s (${verdict}: under ${MOST_COLD_SECONDS} s)`,
      );
    }
  }
  return lines.join('\n');
}

function notes(rows: readonly Row[]): string {
  const lines = [
    'first: the first step of the case, the longest of its rounds. For none, early and late Mesa may find compiled shaders.',
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

export function milliseconds(value: number): string {
  return value.toFixed(value < 100 ? 1 : 0);
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}
