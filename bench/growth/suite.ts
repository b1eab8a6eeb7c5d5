import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ours } from '../implementations.ts';
import { benchDevices } from '../options.ts';
import { type Measurement, perform } from '../perform.ts';
import { plainRows } from '../plain-rows.ts';
import type { Row } from '../row.ts';
import { formatDevices } from '../step/report.ts';
import type { Suite } from '../suite.ts';
import { textTable } from '../text-table.ts';
import { type Curve, drawGrowth, otherSizes } from './picture.ts';
import { nameOf, variations } from './workload.ts';

export const growthSuite: Suite = {
  title: 'time and memory of one training step of a GPT, as it grows in one direction at a time',
  hasPeers: false,
  format,
  async run(options) {
    const { device, quick } = options;
    const plan = (device ? [device] : benchDevices).map(
      (kind): Measurement => ({
        implementation: ours,
        device: kind,
        script: new URL('ours.ts', import.meta.url),
        arguments: [kind, quick ? 'quick' : 'full'],
        secondsAllowed: 400,
      }),
    );
    const { measured, ...outcome } = await perform(plan, options);
    return { rows: plainRows('growth', measured), ...outcome };
  },
};

/** By the fastest step of each, since a machine only ever makes one slower. */
export function curvesOf(rows: readonly Row[]): Curve[] {
  return benchDevices.flatMap((device) =>
    (['time', 'width', 'blocks', 'batch'] as const).flatMap((size): Curve[] => {
      const points = variations[size].flatMap((value) =>
        rows
          .filter((row) => row.device === device && row.case === nameOf(size, value))
          .map(({ min, peakBytes = 0 }) => ({ value, milliseconds: min, bytes: peakBytes })),
      );
      const [before, last] = points.slice(-2);
      if (!last) return [];
      const slope = (from: number, to: number) => Math.log(to / from) / Math.log(last.value / before.value);
      const timeExponent = slope(before.milliseconds, last.milliseconds);
      return [{ device, size, points, timeExponent, memoryExponent: slope(before.bytes, last.bytes) }];
    }),
  );
}

function format(rows: readonly Row[]): string {
  const curves = curvesOf(rows);
  const cells = curves.flatMap(({ device, size, points, timeExponent, memoryExponent }) =>
    points.map(({ value, milliseconds, bytes }, i) => [
      size,
      device,
      `${value}`,
      milliseconds.toFixed(1),
      (bytes / 1024 / 1024).toFixed(2),
      ...(i === points.length - 1 ? [timeExponent.toFixed(2), memoryExponent.toFixed(2)] : ['', '']),
    ]),
  );
  const titles = ['grows', 'on', 'to', 'fastest step ms', 'peak MiB', 'exponent of time', 'of memory'];
  const picture = join('runs', 'growth.svg');
  mkdirSync('runs', { recursive: true });
  writeFileSync(picture, drawGrowth(curves));
  return [
    formatDevices(rows),
    textTable(titles, cells, 2),
    `Exponents between the last two sizes: 1 is linear, 2 quadratic. The other sizes stay at ${otherSizes()}.`,
    `Picture: ${picture}`,
  ].join('\n\n');
}
