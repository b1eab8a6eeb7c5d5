/** Rows as a person reads them: the columns and sentences that the suites share. */

import { formatPercent } from '../command/format.ts';
import { type Columns, tableOf, textTable } from '../command/text-table.ts';
import { asShipped, ours, politeWait } from './peers.ts';
import type { Row } from './row.ts';

/** A table with a line for each item; empty where there is none. */
export function table<Item>(items: readonly Item[], columns: Columns<Item>, leftColumns = 1): string {
  return items.length === 0 ? '' : textTable(tableOf(items, leftColumns, columns));
}

export const who: Columns<Row> = {
  case: (row) => row.case,
  by: ({ implementation }) => implementation,
  on: ({ device }) => device,
};

export const times: Columns<Row> = {
  'median ms': ({ median }) => milliseconds(median),
  min: ({ min }) => milliseconds(min),
  max: ({ max }) => milliseconds(max),
};

export const gigaflops: Columns<Row> = {
  'GFLOP/s': ({ flops, median }) => (flops === undefined ? '' : (flops / median / 1e6).toFixed(1)),
};

export const load: Columns<Row> = {
  'others use': ({ othersShare, busy }) =>
    `${othersShare === null ? '?' : formatPercent(othersShare, 0)}${busy ? ' BUSY' : ''}`,
};

export function milliseconds(value: number): string {
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}

export function mebibytes(bytes: number | undefined): string {
  return bytes === undefined ? '' : (bytes / 2 ** 20).toFixed(2);
}

/** Whether something is as the project asks of itself. */
export function verdict(isMet: boolean, asked: string): string {
  return `${isMet ? 'met' : 'NOT MET'}: ${asked}`;
}

/** The implementations of a case below each other, ours on webgpu and what runs there first, the fastest on top. */
export function byCase(rows: readonly Row[]): Row[] {
  const cases = [...new Set(rows.map((row) => row.case))];
  const place = (row: Row) => 2 * cases.indexOf(row.case) + (row.device === 'webgpu' ? 0 : 1);
  return rows.toSorted((a, b) => place(a) - place(b) || a.median - b.median);
}

export function find(rows: readonly Row[], wanted: Partial<Row>): Row | undefined {
  const { case: name, implementation, device } = wanted;
  return rows.find(
    (row) => row.case === name && row.implementation === (implementation ?? ours) && row.device === device,
  );
}

/**
 * How many times as fast ours is as the best peer of each kind, from the case where it is least to the one where it is most.
 *
 * @param asked the least that the project asks of itself against the peers as shipped, with the polite wait, and on WebAssembly.
 */
export function besidePeers(rows: readonly Row[], asked: { shipped?: number; polite?: number; wasm?: number }): string {
  return [
    comparison(rows, 'webgpu', 'webgpu', asShipped, asked.shipped),
    comparison(rows, 'webgpu', 'webgpu', politeWait, asked.polite),
    comparison(rows, 'webgpu', 'wasm', ''),
    comparison(rows, 'cpu', 'wasm', '', asked.wasm),
    comparison(rows, 'webgpu', 'cuda', ''),
    comparison(rows, 'cpu', 'cpu', ''),
  ]
    .filter((line) => line !== '')
    .join('\n');
}

function comparison(rows: readonly Row[], device: string, peerDevice: string, wait: string, asked?: number): string {
  const peers = rows.filter(
    (row) => row.implementation !== ours && row.device === peerDevice && row.implementation.endsWith(wait),
  );
  const ratios = rows
    .filter((row) => row.implementation === ours && row.device === device)
    .flatMap((own) => {
      const [best] = peers.filter((peer) => peer.case === own.case).toSorted((a, b) => a.median - b.median);
      return best ? [{ name: own.case, ratio: best.median / own.median, peer: best.implementation }] : [];
    })
    .toSorted((a, b) => a.ratio - b.ratio);
  if (ratios.length === 0) return '';
  const [{ ratio: least, name, peer }] = ratios;
  const most = ratios[ratios.length - 1].ratio;
  const range = ratios.length > 1 ? `${least.toFixed(2)} to ${most.toFixed(2)}` : least.toFixed(2);
  const aim = asked === undefined ? '' : ` (${verdict(least >= asked, `at least ${asked}`)})`;
  const kind = `the best peer on ${peerDevice}${wait && `, ${wait}`}`;
  return `${ours} on ${device} is ${range} times as fast as ${kind}${aim}; least at ${name}, beside ${peer.split(',')[0]}`;
}

export function devicesOf(rows: readonly Row[]): string {
  const lines = rows.map(
    ({ device, adapter, software }) => `${device}: ${adapter}${software ? ' (software: a CPU, no GPU)' : ''}`,
  );
  return [...new Set(lines)].join('\n');
}

/** What explains the words of any suite's rows, where they are there. */
export function commonNotes(rows: readonly Row[]): string {
  const notes: string[] = [];
  const isThere = (wait: string) => rows.some(({ implementation }) => implementation.endsWith(wait));
  if (isThere(asShipped)) {
    notes.push(
      'as shipped: while a value is read back, Dawn polls at full speed and takes a core from a software adapter.',
    );
  }
  if (isThere(politeWait)) {
    notes.push('polite wait: the same peer, sleeping up to a millisecond between two polls, as frostgrad does.');
  }
  if (rows.some(({ busy }) => busy)) {
    notes.push(
      'BUSY: other processes used more than 5 % of the machine. Such figures can be wrong by a factor of two.',
    );
  }
  return notes.join('\n');
}
