import { expect, test } from 'vitest';
import type { Measured } from '../../bench/child.ts';
import type { MeasuredCase } from '../../bench/child-report.ts';
import { besidePeers } from '../../bench/report.ts';
import { toRows } from '../../bench/row.ts';

function measured(implementation: string, device: string, ...cases: Partial<MeasuredCase>[]): Measured {
  return {
    measurement: { implementation, device, title: '', script: new URL('file:///'), arguments: [] },
    report: {
      ...{ adapter: 'an adapter', software: true },
      cases: cases.map((one) => ({ case: 'a', milliseconds: [1], othersShare: 0, ...one })),
    },
  };
}

test('what was measured twice is one row over all samples, as disturbed as the more disturbed of the two', () => {
  const rows = toRows('step', [
    measured('frostgrad', 'cpu', { milliseconds: [4, 2], firstMilliseconds: 9, series: { saved: [1, 2] } }),
    measured('frostgrad', 'webgpu', { milliseconds: [50] }),
    measured('frostgrad', 'cpu', { milliseconds: [3], firstMilliseconds: 7, othersShare: 0.2, series: { saved: [9] } }),
  ]);
  expect(rows).toHaveLength(2);
  expect(rows[0]).toMatchObject({
    ...{ suite: 'step', case: 'a', implementation: 'frostgrad', device: 'cpu', adapter: 'an adapter', unit: 'ms' },
    ...{ median: 3, min: 2, max: 4, samples: 3, othersShare: 0.2, busy: true, firstMilliseconds: 9 },
  });
  expect(rows[0].series.saved).toEqual({ median: 2, low: 1, high: 9 });
  expect(rows[1]).toMatchObject({ device: 'webgpu', median: 50, busy: false });
});

test('the operations of a case are those that ours counted, for everyone', () => {
  const rows = toRows('large', [
    measured('frostgrad', 'webgpu', { flops: 100 }),
    measured('PyTorch, eager', 'cpu', {}, { case: 'b' }),
  ]);
  expect(rows.map(({ flops }) => flops)).toEqual([100, 100, undefined]);
});

test('ours is compared with the best peer of each kind, from the worst case to the best', () => {
  const times = (a: number, b: number) => [{ milliseconds: [a] }, { case: 'b', milliseconds: [b] }];
  const rows = toRows('matmul', [
    measured('frostgrad', 'webgpu', ...times(10, 10)),
    measured('jax-js, as shipped', 'webgpu', ...times(40, 90)),
    measured('tfjs, as shipped', 'webgpu', ...times(60, 70)),
    measured('tfjs, polite wait', 'webgpu', ...times(15, 20)),
  ]);
  const lines = besidePeers(rows, { shipped: 3, polite: 1.6 }).split('\n');
  expect(lines).toHaveLength(2);
  expect(lines[0]).toContain('4.00 to 7.00 times');
  expect(lines[0]).toContain('(met: at least 3); least at a, beside jax-js');
  expect(lines[1]).toContain('1.50 to 2.00 times');
  expect(lines[1]).toContain('(NOT MET: at least 1.6)');
});
