/** Time and memory of one training step of a GPT, as it grows in one direction at a time. */

import { mkdirSync, writeFileSync } from 'node:fs';
import type { Device } from '../../src/index.ts';
import type { MeasuredCase } from '../child-report.ts';
import { Gpt } from '../gpt.ts';
import { measureSteps } from '../measure-steps.ts';
import { milliseconds, table } from '../report.ts';
import type { Row } from '../row.ts';
import type { Suite } from '../suite.ts';
import { curvesOf, nameOf, sizes, start, variations } from './curves.ts';

export const suite: Suite = { parts: { growth: { measure } }, report };

async function measure(device: Device, quick: boolean): Promise<MeasuredCase[]> {
  const measured: MeasuredCase[] = [];
  for (const size of sizes) {
    for (const value of quick ? variations[size].slice(0, 2) : variations[size]) {
      const gpt = new Gpt(device, { ...start, [size]: value });
      const plan = { warmSteps: 3, rounds: 1, stepsOfRound: quick ? 2 : 8 };
      measured.push(...(await measureSteps(device, { [nameOf(size, value)]: gpt }, plan)));
    }
  }
  return measured;
}

async function report(rows: readonly Row[]): Promise<string[]> {
  // Here alone: a child that measures draws nothing.
  const { drawGrowth } = await import('./picture.ts');
  const curves = curvesOf(rows);
  const points = curves.flatMap((curve) =>
    curve.points.map((point) => ({ ...curve, ...point, isLast: point === curve.points.at(-1) })),
  );
  const picture = 'runs/growth.svg';
  mkdirSync('runs', { recursive: true });
  writeFileSync(picture, drawGrowth(curves));
  return [
    table(
      points,
      {
        grows: ({ size }) => size,
        on: ({ device }) => device,
        to: ({ value }) => `${value}`,
        'fastest step ms': (point) => milliseconds(point.milliseconds),
        'peak MiB': (point) => point.mebibytes.toFixed(2),
        'exponent of time': ({ isLast, timeExponent }) => (isLast ? timeExponent.toFixed(2) : ''),
        'of memory': ({ isLast, memoryExponent }) => (isLast ? memoryExponent.toFixed(2) : ''),
      },
      2,
    ),
    `Exponents between the last two sizes: 1 is linear, 2 quadratic. The other sizes stay at batch ${start.batch}, ${start.time} positions, ` +
      `width ${start.width} and ${start.blocks} blocks.`,
    `Picture: ${picture}`,
  ];
}
