/**
 * One training step of SmolLM2-135M's shape, all weights or adapters: time, memory, and which kernels it is spent in; and the products
 * that it is made of.
 */

import { formatPercent } from '../../command/format.ts';
import { LoadMeter } from '../../command/load-meter.ts';
import { AdamW, addLoRA, Decoder, type Device, Random, step, tensor } from '../../src/index.ts';
import { type MeasuredCase, send } from '../child-report.ts';
import { matmulOperation } from '../matmul/suite.ts';
import { measureOperations } from '../measure-operations.ts';
import { ours } from '../peers.ts';
import { byCase, find, gigaflops, load, mebibytes, table, times, verdict, who } from '../report.ts';
import type { Row } from '../row.ts';
import { median, sum } from '../statistics.ts';
import { byKernel, shareOutsideCalls, timeDispatches } from '../step/dispatch-times.ts';
import { kernelTable } from '../step/kernel-table.ts';
import type { Suite } from '../suite.ts';
import { time, timeEach } from '../timing.ts';
import {
  cases,
  decoderConfig,
  learningRate,
  type ModelCase,
  products,
  productsPart,
  rank,
  size,
  steps,
  warmSteps,
} from './workload.ts';

/** What the project asks of itself beside PyTorch, eager: at most this share of its time and of its memory. */
const asked = { 'all weights': { time: 1.15, memory: 0.85 }, LoRA: { time: 1.3, memory: 0.6 } } as const;
/** Of products on the cpu device: billions of operations a second, and the share of PyTorch's rate. */
const askedOfProducts = { gigaflops: 140, ofPyTorch: 0.75 };
const mostOutside = 0.05;

export const suite: Suite = {
  parts: {
    [productsPart]: {
      measure: (device, quick) => measureOperations(products, (one) => matmulOperation(device, one), quick),
      isLong: true,
    },
    ...Object.fromEntries(
      cases.map((one) => [
        one.name,
        { measure: (device: Device, quick: boolean) => measure(device, one, quick), isLong: one !== cases[0] },
      ]),
    ),
  },
  peers: { pyTorch: [productsPart, ...new Set(cases.map(({ peer }) => peer))], onlyEager: true },
  report: (rows) => [
    table(byCase(rows).filter(isProduct), { ...who, ...gigaflops, ...times, ...load }, 3),
    productsBesidePyTorch(rows),
    table(
      byCase(rows).filter((row) => !isProduct(row)),
      { ...who, ...times, 'peak MiB': peak, ...load },
      3,
    ),
    besidePyTorch(rows),
    ...rows.map((row) => kernelTable(row, `${row.case}, ${ours} on ${row.device}`)),
    outside(rows),
    notes,
  ],
};

async function measure(
  device: Device,
  { name, trains, stored, batch, time: length }: ModelCase,
  quick: boolean,
): Promise<MeasuredCase[]> {
  await send({ progress: 'weights' });
  const random = new Random(1);
  const model = new Decoder(decoderConfig, { device, dtype: stored, random });
  if (trains === 'LoRA') addLoRA(model, { rank, random });
  const trainable = model.parameters().filter(({ isFrozen }) => !isFrozen);
  const optimizer = new AdamW(trainable, { learningRate });
  const ids = (shift: number) =>
    Int32Array.from({ length: batch * length }, (_, i) => (7 * i + shift) % size.vocabulary);
  const oneStep = () =>
    step(async () => {
      const [tokens, targets] = [0, 7].map((shift) => tensor(ids(shift), { device, shape: [batch, length] }));
      const loss = model.loss(tokens, targets);
      loss.backward();
      optimizer.step(loss);
      return await loss.item();
    });
  await send({ progress: 'first step' });
  let firstLoss = Number.NaN;
  const firstMilliseconds = await time(async () => {
    firstLoss = await oneStep();
  });
  if (!quick) await timeEach(warmSteps - 1, oneStep);
  const meter = new LoadMeter();
  device.resetPeak();
  const milliseconds = await timeEach(quick ? 1 : steps, oneStep);
  const othersShare = meter.othersShare();
  const { peakBytes } = device.memory();
  const residentBytes = 1024 * process.resourceUsage().maxRSS;
  const figures = { residentBytes };
  const measured = { case: name, milliseconds, firstMilliseconds, firstLoss, othersShare, peakBytes, figures };
  if (quick) return [measured];
  await send({ progress: 'each dispatch by itself' });
  const dispatches = await timeDispatches(device, oneStep);
  const shares: number[] = [];
  for (let i = 0; i < 3; i++) shares.push(await shareOutsideCalls(device, oneStep));
  const outsideCalls = median(shares);
  return [{ ...measured, figures: { ...figures, outsideCalls }, kernels: byKernel(dispatches) }];
}

function isProduct(row: Row): boolean {
  return products.some(({ name }) => name === row.case);
}

function productsBesidePyTorch(rows: readonly Row[]): string {
  const { gigaflops: leastRate, ofPyTorch: leastShare } = askedOfProducts;
  return besideEager(rows, products)
    .map(({ name, flops, own, peer }) => {
      const [rate, ofPyTorch] = [flops / own.median / 1e6, peer.median / own.median];
      return (
        `${name}: ${rate.toFixed(0)} GFLOP/s (${verdict(rate >= leastRate, `at least ${leastRate}`)}), ` +
        `${ofPyTorch.toFixed(2)} of PyTorch's rate (${verdict(ofPyTorch >= leastShare, `at least ${leastShare}`)}).`
      );
    })
    .join('\n');
}

/** Of the process where memory is the machine's own; of the card where there is one. */
function peak({ software, peakBytes, figures }: Row): string {
  return mebibytes(software ? figures.residentBytes : peakBytes);
}

function besidePyTorch(rows: readonly Row[]): string {
  return besideEager(rows, cases)
    .map(({ name, trains, own, peer }) => {
      const [times, memory] = [own.median / peer.median, own.figures.residentBytes / peer.figures.residentBytes];
      const { time: mostTime, memory: mostMemory } = asked[trains];
      return (
        `${name}: ${times.toFixed(2)} of PyTorch's time (${verdict(times <= mostTime, `at most ${mostTime}`)}), ` +
        `${memory.toFixed(2)} of its memory (${verdict(memory <= mostMemory, `at most ${mostMemory}`)}).`
      );
    })
    .join('\n');
}

/** The cases that both were measured in, on the CPU; `peer` names PyTorch's where it is another. */
function besideEager<Case extends { readonly name: string; readonly peer?: string }>(
  rows: readonly Row[],
  cases: readonly Case[],
) {
  return cases.flatMap((one) => {
    const own = find(rows, { case: one.name, device: 'cpu' });
    const peer = find(rows, { case: one.peer ?? one.name, device: 'cpu', implementation: 'PyTorch, eager' });
    return own && peer ? [{ ...one, own, peer }] : [];
  });
}

/** What of a step on the cpu device is not spent in WebAssembly: between the calls of kernels, and in their plain loops. */
function outside(rows: readonly Row[]): string {
  return rows
    .flatMap(({ case: name, device, figures, kernels = [] }) => {
      if (device !== 'cpu' || kernels.length === 0) return [];
      const plain = sum(kernels.map((each) => each.plainMilliseconds)) / sum(kernels.map((each) => each.milliseconds));
      const share = figures.outsideCalls + (1 - figures.outsideCalls) * plain;
      return [
        `${name}: ${formatPercent(share, 1)} of a step is spent outside of WebAssembly (${verdict(share < mostOutside, `under ${formatPercent(mostOutside, 0)}`)}).`,
      ];
    })
    .join('\n');
}

const notes = `f32 throughout but for a base in bf16, which is compared with PyTorch's f32; tied head, AdamW; the adapters are of rank ${rank} on the seven matrices of every block.
peak: of the resident size of the process on the CPU, with Node or Python in it, and of the device's memory on a graphics card.`;
