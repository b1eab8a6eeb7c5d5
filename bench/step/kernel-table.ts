/** Where a step spends its time. */

import { formatPercent } from '../../command/format.ts';
import type { KernelTime } from '../child-report.ts';
import { milliseconds, table } from '../report.ts';
import type { Row } from '../row.ts';
import { sum } from '../statistics.ts';

const kernelsShown = 8;

/** The kernels that take most of a step, and the rest in one line; empty where none were timed. */
export function kernelTable({ device, median, kernels = [] }: Row, what: string): string {
  if (kernels.length === 0) return '';
  const all = sum(kernels.map((kernel) => kernel.milliseconds));
  const others = kernels.slice(kernelsShown);
  const total = (of: (kernel: KernelTime) => number) => sum(others.map(of));
  const rest: KernelTime = {
    kernel: `${others.length} others`,
    dispatches: total(({ dispatches }) => dispatches),
    milliseconds: total((kernel) => kernel.milliseconds),
    plainMilliseconds: total(({ plainMilliseconds }) => plainMilliseconds),
    flops: total(({ flops }) => flops),
  };
  const where = `${what}: ${milliseconds(all)} ms of ${milliseconds(median)} in dispatches`;
  return `Where a step spends its time (${where})\n${table([...kernels.slice(0, kernelsShown), rest], {
    kernel: ({ kernel }) => kernel,
    dispatches: ({ dispatches }) => `${dispatches}`,
    ms: (one) => milliseconds(one.milliseconds),
    share: (one) => formatPercent(one.milliseconds / all, 0),
    'GFLOP/s': (one) => (one.flops / one.milliseconds / 1e6).toFixed(1),
    ...(device === 'cpu'
      ? { 'in plain loops': (one) => formatPercent(one.plainMilliseconds / one.milliseconds, 0) }
      : {}),
  })}`;
}
