import { inspect } from 'node:util';
import { expect, test, vi } from 'vitest';
import { ArgumentError, arange, tensor } from '../../src/index.ts';
import { cpu, onEachDevice } from '../devices.ts';

onEachDevice((device) => {
  test('show prints what inspect cannot know', async () => {
    const print = vi.spyOn(console, 'log').mockImplementation(() => {});
    try {
      await tensor(
        [
          [1, -2.5],
          [Number.NaN, 1 / 3],
        ],
        { device },
      ).show();
      await tensor(
        [
          [
            [1, 20],
            [3, 4],
          ],
        ],
        { device, dtype: 'i32' },
      ).show();
      await arange(2000, { device }).reshape([1000, 2]).show();
      await tensor([1e-7, 3e9], { device }).show();
      await tensor([], { device }).show();
      await tensor(3, { device }).show();
      expect(print.mock.calls.map(([text]) => text)).toEqual([
        `f32 [2, 2] on ${device.kind}\n[[ 1.0000, -2.5000],\n [    NaN,  0.3333]]`,
        `i32 [1, 2, 2] on ${device.kind}\n[[[ 1, 20],\n  [ 3,  4]]]`,
        `f32 [1000, 2] on ${device.kind}\n[[   0,    1],\n [   2,    3],\n [   4,    5],\n …,\n [1994, 1995],\n [1996, 1997],\n [1998, 1999]]`,
        `f32 [2] on ${device.kind}\n[1.0000e-7, 3.0000e+9]`,
        `f32 [0] on ${device.kind}\n[]`,
        `f32 [] on ${device.kind}\n3`,
      ]);
    } finally {
      print.mockRestore();
    }
  });
});

test('inspect, text and JSON say shape, dtype, device and how to read the values', () => {
  const x = tensor([[1, 2]], { device: cpu });
  const text =
    "Tensor f32 [1, 2] on cpu, made by 'tensor'; await x.show() prints its values, await x.toArray() reads them";
  expect(inspect(x)).toBe(text);
  expect(`${x}`).toBe(text);
  expect(JSON.stringify({ x })).toBe(JSON.stringify({ x: text }));
});

test('operators of JavaScript are refused, which would take a tensor for no number', () => {
  const x: unknown = tensor([1], { device: cpu });
  expect(() => Number(x) + 1).toThrow(ArgumentError);
  expect(() => Number(x)).toThrow(/operators of JavaScript do not compute with tensors; x\.add\(y\)/);
});
