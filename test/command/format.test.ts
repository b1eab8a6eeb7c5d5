import { expect, test } from 'vitest';
import { formatBytes, formatClock, formatCount, formatPercent, formatSeconds } from '../../command/format.ts';

test.each([
  [formatCount(0), '0'],
  [formatCount(640), '640'],
  [formatCount(1_234, 'FLOP'), '1.23 kFLOP'],
  [formatCount(1.2345e9, 'FLOP'), '1.23 GFLOP'],
  [formatCount(812e9, 'FLOP'), '812 GFLOP'],
  [formatCount(999_999, 'FLOP'), '1.00 MFLOP'],
  [formatCount(0.5), '0.50'],
  [formatBytes(512), '512 B'],
  [formatBytes(3.4 * 1024 ** 2), '3.4 MiB'],
  [formatBytes(1024 ** 3 - 1), '1.0 GiB'],
  [formatSeconds(0.25), '0.25 s'],
  [formatSeconds(12.34), '12.3 s'],
  [formatSeconds(59.97), '1 min 00 s'],
  [formatSeconds(123), '2 min 03 s'],
  [formatClock(41.2), '0:41'],
  [formatClock(3723), '1:02:03'],
  [formatPercent(0.8312), '83.1 %'],
])('a figure with its unit: %s', (written, expected) => {
  expect(written).toBe(expected);
});
