/** Products, attention and a GPT of sizes that fill a graphics card, on webgpu. */

import { formatPercent } from '../../command/format.ts';
import { type Device, DeviceLimitError } from '../../src/index.ts';
import { attentionOperation } from '../attention/suite.ts';
import { type MeasuredCase, send } from '../child-report.ts';
import { Gpt } from '../gpt.ts';
import { matmulOperation } from '../matmul/suite.ts';
import { measureOperations } from '../measure-operations.ts';
import { measureSteps } from '../measure-steps.ts';
import { byCase, mebibytes, table, times, who } from '../report.ts';
import type { Row } from '../row.ts';
import type { Suite } from '../suite.ts';
import { time } from '../timing.ts';
import { multiplyAddsCase } from './multiply-adds.ts';
import { attentionName, attentions, gptName, gptSize, gptSteps, parts, peakName, products } from './workload.ts';

const [operations, gptInF32, gptInF16] = parts;

export const suite: Suite = {
  devices: ['webgpu'],
  parts: {
    [operations]: { measure: measureLargeOperations },
    [gptInF32]: { measure: (device) => measureGpt(device), isLong: true },
    [gptInF16]: { measure: (device) => measureGpt(device, 'f16'), isLong: true },
  },
  // What a card's owner would use instead.
  peers: { pyTorch: [operations, gptInF32] },
  report,
};

async function measureLargeOperations(device: Device, quick: boolean): Promise<MeasuredCase[]> {
  const few = <Case>(cases: readonly Case[]) => (quick ? cases.slice(0, 1) : cases);
  const peak = await measureOperations([multiplyAddsCase(device)], (one) => one.build(), quick);
  const matmul = await measureOperations(few(products), (one) => matmulOperation(device, one), quick);
  const attention = await measureOperations(
    few(attentions).map((one) => ({ ...one, name: attentionName(one) })),
    (one) => attentionOperation(device, one),
    quick,
  );
  return [...peak, ...matmul, ...attention];
}

async function measureGpt(device: Device, activations?: 'f16'): Promise<MeasuredCase[]> {
  if (activations && !device.supports(activations)) {
    await send({ progress: `${device.adapter} has no f16 in shaders` });
    return [];
  }
  // The largest batch whose logits the adapter binds.
  for (let size = gptSize(device.software); ; size = { ...size, batch: size.batch / 2 }) {
    const gpt = new Gpt(device, size, { activations });
    try {
      const firstMilliseconds = await time(() => gpt.step());
      const plan = { warmSteps: 0, rounds: gptSteps(device.software), stepsOfRound: 1 };
      const measured = await measureSteps(device, { [gptName(size, activations)]: gpt }, plan);
      return measured.map((one) => ({ ...one, firstMilliseconds }));
    } catch (error) {
      if (!(error instanceof DeviceLimitError) || size.batch === 1) throw error;
      gpt.release();
    }
  }
}

function report(rows: readonly Row[]): string[] {
  const rate = ({ flops, median }: Row) => (flops === undefined ? Number.NaN : flops / median / 1e9);
  const peaks = new Map(rows.flatMap((row) => (row.case === peakName ? [[row.device, rate(row)]] : [])));
  return [
    table(
      byCase(rows),
      {
        ...who,
        ...times,
        'TFLOP/s': (row) => rate(row).toPrecision(3),
        'of peak': (row) => {
          const peak = peaks.get(row.device);
          return peak === undefined ? '' : formatPercent(rate(row) / peak, 0);
        },
        'peak MiB': ({ peakBytes }) => mebibytes(peakBytes),
      },
      3,
    ),
    `of peak: the share of the TFLOP/s of ${peakName}, which touch no memory. Operations are counted as ours counts them.`,
  ];
}
