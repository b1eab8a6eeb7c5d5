/** The training step of a model of the size people fine-tune, against the frozen share of its blocks: run, kept in memory, kept in a file. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatPercent } from '../../command/format.ts';
import { LoadMeter } from '../../command/load-meter.ts';
import {
  AdamW,
  addLoRA,
  crossEntropy,
  Decoder,
  type Device,
  type FrozenPrefixOptions,
  Random,
  snapshotWork,
  Training,
  tensor,
  workSince,
} from '../../src/index.ts';
import { type MeasuredCase, send } from '../child-report.ts';
import { decoderConfig, learningRate, rank, size } from '../model/workload.ts';
import { load, mebibytes, milliseconds, table, times, verdict, who } from '../report.ts';
import type { Row } from '../row.ts';
import type { Suite } from '../suite.ts';
import { timeEach } from '../timing.ts';

/** Of what counting allows, the least that the project asks of itself. */
const asked = { memory: 0.9, folder: 0.8 } as const;

const methods = ['LoRA', 'all weights'] as const;
const places = ['run', 'memory', 'folder'] as const;
type Place = (typeof places)[number];

const shares = [0, 0.25, 0.5, 0.75, 1];
/** A round meets every batch once to fill what is kept, and once more to warm up; places take turns. */
const plan = { batch: 4, time: 64, batches: 2, rounds: 2, steps: 4 };
const quickPlan = { batch: 2, time: 16, batches: 2, rounds: 1, steps: 2 };

export const suite: Suite = {
  parts: Object.fromEntries(
    methods.map((trains) => [
      trains,
      { measure: (device: Device, quick: boolean) => measure(device, trains, quick), isLong: trains !== 'LoRA' },
    ]),
  ),
  report,
};

async function measure(device: Device, trains: (typeof methods)[number], quick: boolean): Promise<MeasuredCase[]> {
  const { batch, time, batches, rounds, steps } = quick ? quickPlan : plan;
  await send({ progress: 'weights' });
  const random = new Random(1);
  const model = new Decoder(decoderConfig, { device, random });
  if (trains === 'LoRA') addLoRA(model, { rank, random });
  // With all blocks frozen something has to train.
  model.norm.parameters()[0].thaw();
  const optimizer = new AdamW(
    model.parameters().filter(({ isFrozen }) => !isFrozen),
    { learningRate },
  );
  const sampleIds = (index: number, shift: number) =>
    Int32Array.from({ length: time }, (_, i) => (7 * i + 101 * index + shift) % size.vocabulary);
  const samplesOf = (step: number) =>
    Array.from({ length: batch }, (_, i) => sampleIds((step % batches) * batch + i, 0));
  const folder = mkdtempSync(join(tmpdir(), 'frostgrad-bench-'));
  const options: Readonly<Record<Place, FrozenPrefixOptions | undefined>> = {
    run: undefined,
    memory: { bytes: 2 ** 31 },
    folder: { bytes: 0, folder, samples: samplesOf },
  };
  const measured: MeasuredCase[] = [];
  for (const share of shares) {
    const blocks = Math.round(share * size.blocks);
    for (const [name, parameter] of model.namedParameters()) {
      const block = /^blocks\.(\d+)\./.exec(name);
      if (blocks > 0 && (block ? Number(block[1]) < blocks : name.startsWith('tokens'))) parameter.freeze();
    }
    const all = places.map((place) => ({
      ...{ place, milliseconds: [] as number[], flops: 0, peakBytes: 0, othersShare: 0 as number | null },
      kept: { samples: 0, memoryBytes: 0, diskBytes: 0 },
    }));
    for (let round = 0; round < rounds; round++) {
      for (const each of all) {
        if (blocks === 0 && each.place !== 'run') continue;
        await send({ progress: `${blocks} of ${size.blocks} blocks frozen, ${each.place}` });
        const training = new Training({
          ...{ model, optimizer, steps: Number.MAX_SAFE_INTEGER, cacheFrozenPrefix: options[each.place] },
          loss(step) {
            const [tokens, targets] = [0, 7].map((shift) => {
              const ids = samplesOf(step).flatMap((sample) => [...sample.map((id) => (id + shift) % size.vocabulary)]);
              return tensor(Int32Array.from(ids), { device, shape: [batch, time] });
            });
            return crossEntropy(model.call(tokens), targets);
          },
          policies: [{ afterStep: async () => void (await training.loss()) }],
        });
        await timeEach(2 * batches, () => training.advance());
        const [work, meter] = [snapshotWork(device), new LoadMeter()];
        device.resetPeak();
        each.milliseconds.push(...(await timeEach(steps, () => training.advance())));
        each.othersShare = meter.othersShare();
        each.flops = workSince(device, work).flops / steps;
        each.peakBytes = Math.max(each.peakBytes, device.memory().peakBytes);
        if (training.prefix) each.kept = training.prefix.kept;
        await training.prefix?.close();
      }
    }
    for (const { place, kept, ...row } of all) {
      if (row.milliseconds.length === 0) continue;
      const formulaBytes = kept.samples * time * size.width * 4;
      measured.push({ case: nameOf(trains, blocks, place), ...row, figures: { blocks, ...kept, formulaBytes } });
    }
  }
  rmSync(folder, { recursive: true, force: true });
  return measured;
}

function nameOf(trains: string, blocks: number, place: Place): string {
  return `${trains}, ${blocks} of ${size.blocks} frozen, ${place}`;
}

/** Of a step that runs the frozen blocks, the share of time that is gone, and the share of operations. */
function saved(rows: readonly Row[], row: Row): { place: Place; time: number; operations: number } | null {
  const place = places.find((each) => row.case.endsWith(`, ${each}`));
  const runs = rows.find(
    (other) => other.device === row.device && other.case === row.case.replace(/, (memory|folder)$/, ', run'),
  );
  if (!place || place === 'run' || !runs?.flops || !row.flops) return null;
  return { place, time: 1 - row.median / runs.median, operations: 1 - row.flops / runs.flops };
}

function report(rows: readonly Row[]): string[] {
  const share = (of: (each: NonNullable<ReturnType<typeof saved>>) => number) => (row: Row) => {
    const each = saved(rows, row);
    return each ? formatPercent(of(each), 0) : '';
  };
  const reached = (place: keyof typeof asked) => {
    const found = rows.flatMap((row) => {
      const each = saved(rows, row);
      return each?.place === place ? [each.time / each.operations] : [];
    });
    if (found.length === 0) return '';
    const least = Math.min(...found);
    return `${place}: at least ${least.toFixed(2)} of what counting allows (${verdict(least >= asked[place], `at least ${asked[place]}`)})`;
  };
  return [
    table(
      rows,
      {
        ...{ case: who.case, on: who.on },
        ...times,
        saved: share(({ time }) => time),
        'by counting': share(({ operations }) => operations),
        'of it': (row) => {
          const each = saved(rows, row);
          return each ? (each.time / each.operations).toFixed(2) : '';
        },
        'peak MiB': ({ peakBytes }) => mebibytes(peakBytes),
        'kept MiB': ({ figures }) => mebibytes(figures.memoryBytes + figures.diskBytes),
        formula: ({ figures }) => mebibytes(figures.formulaBytes),
        ...load,
      },
      2,
    ),
    [reached('memory'), reached('folder')].filter((line) => line !== '').join('\n'),
    wholeStep(rows),
    notes,
  ];
}

/** How a step shrinks from nothing frozen to all but what stands above the blocks. */
function wholeStep(rows: readonly Row[]): string {
  return rows
    .filter((row) => row.case.endsWith(`${size.blocks} of ${size.blocks} frozen, memory`))
    .flatMap((row) => {
      const [trains] = row.case.split(',');
      const whole = rows.find(({ case: name, device }) => device === row.device && name === nameOf(trains, 0, 'run'));
      if (!whole) return [];
      return [
        `${trains}, ${row.device}: ${milliseconds(whole.median)} ms with nothing frozen, ${milliseconds(row.median)} with all blocks`,
      ];
    })
    .join('\n');
}

const notes = `run: the frozen blocks are run each time. memory, folder: what leaves them is kept there, and every sample is known.
saved: of the time of run. by counting: the share of its floating-point operations that are not made. of it: one over the other.
formula: samples · positions · width · 4 bytes. What the system keeps of the file in memory makes the folder fast; it is not emptied.`;
