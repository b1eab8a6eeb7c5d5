/** What grows in the suite, and the curves that come out. */

import type { Row } from '../row.ts';
import { benchDevices } from '../suite.ts';

/** One size at a time is varied; the others stay as in the GPT of the step suite. */
export const start = { batch: 4, time: 64, width: 128, blocks: 2 } as const;

export const variations = {
  time: [32, 64, 128, 256],
  width: [64, 128, 256],
  blocks: [1, 2, 4, 8],
  batch: [1, 2, 4, 8, 16],
} as const satisfies Record<keyof typeof start, readonly number[]>;

export const sizes = ['time', 'width', 'blocks', 'batch'] as const;
export type Size = (typeof sizes)[number];

export function nameOf(size: Size, value: number): string {
  return `${size} ${value}`;
}

/** Of one device: what one size costs, point by point, and the slopes of the last two points in the logarithms. */
export interface Curve {
  device: string;
  size: Size;
  points: { value: number; milliseconds: number; mebibytes: number }[];
  timeExponent: number;
  memoryExponent: number;
}

/** By the fastest step of each, since a machine only ever makes one slower. */
export function curvesOf(rows: readonly Row[]): Curve[] {
  return benchDevices.flatMap((device) =>
    sizes.flatMap((size): Curve[] => {
      const points = variations[size].flatMap((value) =>
        rows
          .filter((row) => row.device === device && row.case === nameOf(size, value))
          .map(({ min, peakBytes = 0 }) => ({ value, milliseconds: min, mebibytes: peakBytes / 2 ** 20 })),
      );
      const [before, last] = points.slice(-2);
      if (!last) return [];
      const slope = (of: 'milliseconds' | 'mebibytes') =>
        Math.log(last[of] / before[of]) / Math.log(last.value / before.value);
      return [{ device, size, points, timeExponent: slope('milliseconds'), memoryExponent: slope('mebibytes') }];
    }),
  );
}
