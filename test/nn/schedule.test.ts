import { describe, expect, test } from 'vitest';
import { ArgumentError, warmupCosine, warmupLinear } from '../../src/index.ts';

describe.each([
  ['warmupCosine', warmupCosine, Math.SQRT1_2 / 2 + 0.5],
  ['warmupLinear', warmupLinear, 0.75],
])('%s', (name, schedule, aQuarterDown) => {
  test('rises linearly from 0, peaks where the warm-up ends, and falls to its final rate', () => {
    const rate = schedule({ peak: 2, steps: 120, warmup: 20, final: 0.5 });
    expect(rate(0)).toBe(0);
    expect(rate(1)).toBeCloseTo(0.1, 12);
    expect(rate(10)).toBeCloseTo(1, 12);
    expect(rate(20)).toBe(2);
    expect(rate(45)).toBeCloseTo(0.5 + 1.5 * aQuarterDown, 12);
    expect(rate(70)).toBeCloseTo(1.25, 12);
    expect(rate(120)).toBe(0.5);
    expect(rate(200)).toBe(0.5);
  });

  test('begins at the peak without a warm-up, falls all the way and never rises again', () => {
    const rate = schedule({ peak: 1, steps: 50 });
    expect(rate(1)).toBe(1);
    for (let step = 2; step <= 51; step++) expect(rate(step)).toBeLessThan(rate(step - 1));
  });

  test('every step trains: 0 is the rate of the step behind the last, unless it is asked for', () => {
    expect(schedule({ peak: 1, steps: 1 })(1)).toBe(1);
    const rate = schedule({ peak: 1, steps: 50, warmup: 5 });
    expect(rate(50)).toBeGreaterThan(0);
    expect(rate(51)).toBe(0);
    expect(schedule({ peak: 1, steps: 50, warmup: 5, final: 0 })(50)).toBe(0);
  });

  test('a warm-up of the whole schedule ends at the peak', () => {
    const rate = schedule({ peak: 1, steps: 5, warmup: 5 });
    expect([1, 2, 3, 4, 5].map(rate)).toEqual([0.2, 0.4, 0.6, 0.8, 1]);
    expect(schedule({ peak: 1, steps: 5, warmup: 5, final: 0.5 })(5)).toBe(1);
  });

  test.each([
    { peak: 0, steps: 10 },
    { peak: Number.NaN, steps: 10 },
    { peak: Number.POSITIVE_INFINITY, steps: 10 },
    { peak: 1, steps: 10, final: -1 },
    { peak: 1, steps: 10, final: 2 },
    { peak: 1, steps: 0 },
    { peak: 1, steps: 2.5 },
    { peak: 1, steps: 10, warmup: -1 },
    { peak: 1, steps: 10, warmup: 1.5 },
    { peak: 1, steps: 10, warmup: 11 },
  ])('refuses %o by name', (options) => {
    expect(() => schedule(options)).toThrow(ArgumentError);
    expect(() => schedule(options)).toThrow(name);
  });
});
