/** One training step of a small GPT, to the loss on the host. */

import { ours } from '../peers.ts';
import { besidePeers, load, milliseconds, table, times, verdict, who } from '../report.ts';
import type { Row } from '../row.ts';
import type { Suite } from '../suite.ts';
import { kernelTable } from './kernel-table.ts';
import { measureCold, measureWarm } from './measure.ts';

/** What the project asks of itself on an idle machine with a software adapter: times as fast as the peers, and seconds. */
const asked = { shipped: 2.5, polite: 1.67, wasm: 1, coldSeconds: 4 };

export const suite: Suite = {
  parts: {
    // Mesa must not find what it compiled for an earlier process.
    cold: { measure: measureCold, environment: { MESA_SHADER_CACHE_DISABLE: 'true' } },
    warm: { measure: measureWarm, again: true },
  },
  peers: { suffix: '', pyTorch: ['step'] },
  report: (rows) => [
    stepTable(rows),
    ...rows.map((row) => kernelTable(row, `${ours} on ${row.device}, nothing frozen`)),
    besidePeers(
      rows.filter((row) => row.case === 'none'),
      asked,
    ),
    rows.map(coldVerdict).join(''),
    stepNotes,
    notes,
  ],
};

const order = ['cold', 'none', 'early', 'late', 'most'];

export function stepTable(rows: readonly Row[]): string {
  return table(
    rows.toSorted((a, b) => order.indexOf(a.case) - order.indexOf(b.case)),
    {
      ...who,
      ...times,
      steps: ({ samples }) => `${samples}`,
      first: ({ firstMilliseconds, median }) => milliseconds(firstMilliseconds ?? median),
      'first loss': ({ firstLoss }) => firstLoss?.toFixed(4) ?? '',
      ...load,
    },
    3,
  );
}

function coldVerdict(row: Row): string {
  if (row.case !== 'cold' || row.device !== 'webgpu') return '';
  const seconds = row.median / 1000;
  const { coldSeconds } = asked;
  return `The cold first step on webgpu takes ${seconds.toFixed(1)} s (${verdict(seconds < coldSeconds, `under ${coldSeconds} s`)}).`;
}

export const stepNotes = `early: embeddings and block 0 are frozen. late: block 1, the last norm and the head. most: all but the last norm, the head and
block 1's down matrix; the peers are not measured with it.`;

const notes = `cold: the first step of a process, from building the model, with no compiled shader in Mesa's cache.
first: the first step of the case, the longest of its rounds. For none, early and late Mesa may find compiled shaders.
${ours} computes query, key and value as three matrices, so that each can freeze at its own time; peers fuse them into one.`;
