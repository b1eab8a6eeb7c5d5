import { ours, type patched, type shipped } from './implementations.ts';
import type { Row } from './row.ts';
import { textTable } from './text-table.ts';

/** Every case of a suite with its implementations below each other, and how long ours takes of the best peer's time. */
export function formatOperations(rows: readonly Row[]): string {
  const adapters = new Set(
    rows.map(({ device, adapter, software }) => `${device}: ${adapter}${software ? ' (software: a CPU, no GPU)' : ''}`),
  );
  const cells = rows
    .toSorted((a, b) => orderOf(rows, a) - orderOf(rows, b) || a.median - b.median)
    .map((row) => [
      row.case,
      row.implementation,
      row.device,
      gigaflops(row),
      row.median.toFixed(2),
      row.min.toFixed(2),
      row.max.toFixed(2),
      `${row.othersShare === null ? '?' : `${(100 * row.othersShare).toFixed(0)} %`}${row.busy ? ' BUSY' : ''}`,
    ]);
  const titles = ['case', 'by', 'on', 'GF/s', 'median ms', 'min', 'max', 'others use'];
  return `${[...adapters].join('\n')}\n\n${textTable(titles, cells, 3)}`;
}

/** Times as fast as the best peer of its kind, in every case; null where none was measured. */
export function timesAsFast(
  rows: readonly Row[],
  device: string,
  peers: { device: string; waiting: typeof shipped | typeof patched | null },
): { case: string; ratio: number; peer: string }[] {
  return rows.flatMap((own) => {
    if (own.implementation !== ours || own.device !== device) return [];
    const others = rows.filter(
      (row) =>
        row.case === own.case &&
        row.device === peers.device &&
        row.implementation !== ours &&
        (peers.waiting === null || row.implementation.endsWith(peers.waiting)),
    );
    const [best] = others.sort((a, b) => a.median - b.median);
    return best ? [{ case: own.case, ratio: best.median / own.median, peer: best.implementation }] : [];
  });
}

/** One line: the least of the ratios with its case, and whether it is what the project asks of itself. */
export function ratioLine(
  rows: readonly Row[],
  device: string,
  peers: Parameters<typeof timesAsFast>[2],
  atLeast?: number,
): string[] {
  const ratios = timesAsFast(rows, device, peers).sort((a, b) => a.ratio - b.ratio);
  if (ratios.length === 0) return [];
  const [least] = ratios;
  const most = ratios[ratios.length - 1];
  const verdict = atLeast === undefined ? '' : ` (${least.ratio >= atLeast ? 'met' : 'NOT MET'}: at least ${atLeast})`;
  const kind = peers.waiting ? `best peer on ${peers.device}, ${peers.waiting}` : `best peer on ${peers.device}`;
  return [
    `${ours} on ${device} is ${least.ratio.toFixed(1)} to ${most.ratio.toFixed(1)} times as fast as the ${kind}${verdict}; ` +
      `least at ${least.case}, where that is ${least.peer.split(',')[0]}`,
  ];
}

export function gigaflops({ flops, median }: Row): string {
  return flops === undefined ? '' : (flops / median / 1e6).toFixed(1);
}

function orderOf(rows: readonly Row[], { case: name, device }: Row): number {
  const cases = [...new Set(rows.map((row) => row.case))];
  return 2 * cases.indexOf(name) + (device === 'webgpu' ? 0 : 1);
}
