/** One training step of a GPT with the values between its layers stored in f32 and in f16, on webgpu. */

import { type Device, NoAdapterError } from '../../src/index.ts';
import type { MeasuredCase } from '../child-report.ts';
import { Gpt, type GptSize } from '../gpt.ts';
import { measureSteps } from '../measure-steps.ts';
import { mebibytes, milliseconds, table } from '../report.ts';
import type { Row } from '../row.ts';
import type { Suite } from '../suite.ts';

const sizes: readonly GptSize[] = [
  { batch: 4, time: 64, width: 128, blocks: 2 },
  { batch: 16, time: 64, width: 128, blocks: 2 },
  { batch: 4, time: 256, width: 128, blocks: 2 },
];

export const suite: Suite = {
  devices: ['webgpu'],
  parts: { precision: { measure } },
  report,
};

async function measure(device: Device, quick: boolean): Promise<MeasuredCase[]> {
  if (!device.supports('f16')) throw new NoAdapterError(`${device.adapter} has no f16 in shaders`);
  const measured: MeasuredCase[] = [];
  for (const size of quick ? sizes.slice(0, 1) : sizes) {
    const name = `batch ${size.batch}, ${size.time} positions`;
    const gpts = {
      [`${name}, f32`]: new Gpt(device, size),
      [`${name}, f16`]: new Gpt(device, size, { activations: 'f16' }),
    };
    const plan = { warmSteps: 4, rounds: quick ? 2 : 10, stepsOfRound: 4 };
    measured.push(...(await measureSteps(device, gpts, plan)));
  }
  return measured;
}

function report(rows: readonly Row[]): string[] {
  const pairs = rows.map((row) => {
    const whole = rows.find((other) => other.case === row.case.replace('f16', 'f32')) ?? row;
    return { ...row, ofTime: row.median / whole.median, ofBytes: row.figures.stepBytes / whole.figures.stepBytes };
  });
  return [
    table(pairs, {
      'GPT of width 128': (row) => row.case,
      'ms (min)': ({ median, min }) => `${milliseconds(median)} (${milliseconds(min)})`,
      'time of f32': ({ ofTime }) => ofTime.toFixed(2),
      'MiB of a step': ({ figures }) => mebibytes(figures.stepBytes),
      'bytes of f32': ({ ofBytes }) => ofBytes.toFixed(2),
      [`loss after ${rows[0].figures.steps} steps`]: ({ figures }) => figures.loss.toPrecision(5),
    }),
    'MiB of a step: the most it holds beside parameters and moments. Gradients and everything summed are f32 in both.',
  ];
}
