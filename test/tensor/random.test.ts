import { describe, expect, test } from 'vitest';
import { ArgumentError, normal, Random, step, uniform } from '../../src/index.ts';
import { philox4x32, philoxBlocks } from '../../src/tensor/random.ts';
import { cpu, onEachDevice } from '../devices.ts';

const hexadecimal = (words: readonly number[]) => words.map((word) => word.toString(16).padStart(8, '0'));

describe('Philox4x32-10 gives the known answers of Random123', () => {
  const ones = 0xffffffff;
  test.each([
    ['zeros', [0, 0, 0, 0], [0, 0], ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']],
    ['ones', [ones, ones, ones, ones], [ones, ones], ['408f276d', '41c83b0e', 'a20bc7c6', '6d5451fd']],
    [
      'the digits of pi',
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      ['d16cfe09', '94fdcceb', '5001e420', '24126ea1'],
    ],
  ])('%s', (_, counter, key, answer) => {
    expect(hexadecimal(philox4x32(counter, key))).toEqual(answer);
  });

  test('a stream counts its blocks up from 0', () => {
    const random = new Random(5, 9);
    const words = Array.from({ length: 8 }, () => random.uint32());
    expect(words).toEqual([...philox4x32([0, 0, 9, 0], [5, 0]), ...philox4x32([1, 0, 9, 0], [5, 0])]);
  });
});

test('the numbers made by vectors are those of the plain loop', () => {
  for (const [first, seed, stream] of [
    [0, 1, 0],
    [12_345, 2 ** 32 - 1, 7],
    [2 ** 32 - 6, 3, 2 ** 32 - 1],
  ]) {
    const words = philoxBlocks(first, 128, stream, seed);
    const block = (i: number) => [(first + i) % 2 ** 32, Math.floor((first + i) / 2 ** 32), stream, 0];
    const expected = Array.from({ length: 128 }, (_, i) => philox4x32(block(i), [seed, 0])).flat();
    expect([...words]).toEqual(expected);
  }
});

test.each([0, 1, 4, 5, 700, 1024, 50_003])('a stream drawn %s numbers far goes on from its state', (count) => {
  const [drawn, restored] = [new Random(3, 1), new Random(3, 1)];
  for (let i = 0; i < count; i++) drawn.uint32();
  expect(drawn.state()).toMatchObject({
    block: Math.ceil(count / 4),
    position: count === 0 ? 0 : ((count - 1) % 4) + 1,
  });
  restored.restore(drawn.state());
  expect(restored.state()).toEqual(drawn.state());
  const [next, again] = [drawn, restored].map((each) => Array.from({ length: 300 }, () => each.uint32()));
  expect(again).toEqual(next);
});

test('normal numbers drawn at once are those drawn one by one, from any place of the stream', () => {
  const [once, one] = [new Random(9), new Random(9)];
  for (const length of [1, 2, 3, 0, 8, 5001, 40_000, 7]) {
    const values = new Float64Array(length);
    once.fillNormal(values, 0.5, 3);
    expect([...values]).toEqual(Array.from({ length }, () => 0.5 + 3 * one.normal()));
    expect([once.uint32(), once.state()]).toEqual([one.uint32(), one.state()]);
  }
});

describe('a source of random numbers', () => {
  const draw = (seed: number, stream = 0) => {
    const random = new Random(seed, stream);
    return Array.from({ length: 16 }, () => random.uint32());
  };

  test('repeats itself for a seed and a stream, and for no other', () => {
    expect(draw(1, 2)).toEqual(draw(1, 2));
    const streams = [draw(0), draw(1), draw(0, 1), draw(1, 1), draw(2 ** 32 - 1)];
    expect(new Set(streams.flat()).size).toBe(streams.flat().length);
  });

  test('takes whole numbers of 32 bits as seed and stream', () => {
    for (const [name, seed, stream, value] of [
      ['seed', -1, 0, '-1'],
      ['seed', 2 ** 32, 0, '4294967296'],
      ['seed', 0.5, 0, '0.5'],
      ['stream', 0, Number.NaN, 'NaN'],
    ] as const) {
      expect(() => new Random(seed, stream)).toThrow(ArgumentError);
      expect(() => new Random(seed, stream)).toThrow(
        `Random: ${name} ${value} must be a whole number from 0 to 4294967295`,
      );
    }
  });

  test('integer reaches every number below its bound and none beyond', () => {
    const random = new Random(3);
    const counts = new Array<number>(5).fill(0);
    for (let i = 0; i < 5000; i++) counts[random.integer(5)]++;
    expect(counts.reduce((sum, count) => sum + count)).toBe(5000);
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});

/** Mean, variance, skewness and kurtosis. */
function moments(values: ArrayLike<number>): number[] {
  const numbers = Array.from(values);
  const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
  const central = (power: number) => numbers.reduce((sum, value) => sum + (value - mean) ** power, 0) / numbers.length;
  const variance = central(2);
  return [mean, variance, central(3) / variance ** 1.5, central(4) / variance ** 2];
}

onEachDevice((device) => {
  test('uniform numbers lie in their range and have its moments', async () => {
    await step(async () => {
      const values = await uniform([200, 100], { random: new Random(1), low: -2, high: 4, device }).data();
      expect(Math.min(...values)).toBeGreaterThanOrEqual(-2);
      expect(Math.max(...values)).toBeLessThanOrEqual(4);
      const expected = [1, 3, 0, 1.8];
      for (const [i, moment] of moments(values).entries()) expect(Math.abs(moment - expected[i])).toBeLessThan(0.06);
    });
  });

  test('normal numbers have the moments of their distribution', async () => {
    await step(async () => {
      const values = await normal([200, 100], { random: new Random(1), mean: 5, deviation: 2, device }).data();
      const expected = [5, 4, 0, 3];
      for (const [i, moment] of moments(values).entries()) expect(Math.abs(moment - expected[i])).toBeLessThan(0.12);
    });
  });

  test('a source goes on where it stopped, and devices draw the same numbers', async () => {
    await step(async () => {
      const random = new Random(4);
      const first = await normal([5], { random, device }).data();
      const second = await normal([5], { random, device }).data();
      expect(second).not.toEqual(first);
      const whole = await normal([10], { random: new Random(4), device: cpu }).data();
      expect([...first, ...second]).toEqual([...whole]);
    });
  });
});
