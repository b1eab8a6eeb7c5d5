/**
 * Operations over values stored in f16: what they compute from numbers that f16 holds exactly, and the f32 gradients, agree
 * with the reference loops in f32 up to one rounding of what is stored.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  add,
  attention,
  backward,
  binaryCrossEntropy,
  cast,
  clamp,
  concatenate,
  crossEntropy,
  cumsum,
  type Device,
  DTypeError,
  detach,
  div,
  dropout,
  embedding,
  erf,
  exp,
  flip,
  full,
  gelu,
  greater,
  layerNorm,
  leakyRelu,
  logSoftmax,
  logSumExp,
  matmul,
  max,
  mean,
  meanSquaredError,
  min,
  mul,
  norm,
  pad,
  permute,
  prod,
  requireGradient,
  reshape,
  rmsNorm,
  rotary,
  scatterAdd,
  sin,
  slice,
  softmax,
  softplus,
  sort,
  step,
  sum,
  swiglu,
  type Tensor,
  tensor,
  topk,
  transpose,
  tril,
  variance,
  where,
  zeros,
} from '../../../src/index.ts';
import type { Shape } from '../../../src/tensor/shape.ts';
import { WebGpuDevice } from '../../../src/tensor/webgpu/webgpu-device.ts';
import { cpu, onWebGpu, reference, webgpu } from '../../devices.ts';
import { expectClose, random, runs } from '../../shapes.ts';

/** One case: shapes of the operands in f16 and in f32, and what is made of them. */
interface Case {
  half: readonly Shape[];
  full?: readonly Shape[];
  of(half: readonly Tensor[], full: readonly Tensor[]): Tensor;
  /** How the result is stored; f16 unless the operation sums. */
  stored?: 'f16' | 'f32';
}

const extent = fc.constantFrom(1, 3, 4, 7, 33);
const pair = fc.tuple(extent, extent);

/** Each operation with the shapes it is tried over. */
const operations: Record<string, fc.Arbitrary<Case>> = {
  'sums, broadcast and of views': pair.map(([m, n]) => ({
    half: [[m, n], [n], [n, m]],
    of: ([x, y, z]) => add(add(x, y), transpose(z)),
  })),
  'f16 with f32 gives f32': pair.map((shape) => ({
    half: [shape],
    full: [shape],
    of: ([x], [y]) => mul(x, y),
    stored: 'f32',
  })),
  'swiglu, gelu, exponential, quotient': pair.map((shape) => ({
    half: [shape, shape],
    of: ([x, y]) => div(exp(gelu(x)), add(exp(swiglu(x, y)), 1)),
  })),
  where: pair.map((shape) => ({ half: [shape, shape], of: ([x, y]) => where(greater(x, 0), x, y) })),
  'sum, mean and maximum': pair.map(([m, n]) => ({
    half: [[m, n, 3]],
    of: ([x]) => add(add(sum(x, { axes: [0] }), mean(x, { axes: 0 })), max(x, { axes: 0 })),
    stored: 'f32',
  })),
  'sum and maximum over no axis': pair.map((shape) => ({
    half: [shape],
    of: ([x]) => add(sum(x, { axes: [] }), max(x, { axes: [] })),
    stored: 'f32',
  })),
  'minimum, product, variance, norm and logSumExp': pair.map(([m, n]) => ({
    half: [[m, n, 3]],
    of: ([x]) =>
      [prod, variance, norm, logSumExp].reduce((total, each) => add(total, each(x, { axes: 2 })), min(x, { axes: 2 })),
    stored: 'f32',
  })),
  'clamp, erf, softplus, sine and leaky ReLU': pair.map((shape) => ({
    half: [shape],
    of: ([x]) => add(add(clamp(x, -1, 1.5), erf(x)), add(softplus(sin(x)), leakyRelu(x, 0.1))),
  })),
  'gather, sort, pad, flip and triangles': pair.map(([m, n]) => ({
    half: [[m, n]],
    of: ([x]) =>
      add(
        sort(
          tril(
            flip(
              pad(x, [
                [1, 0],
                [0, 1],
              ]),
              0,
            ),
          ),
          { axis: 0 },
        ).values,
        topk(x, 1, { axis: 1 }).values.pad([
          [1, 0],
          [0, 0],
        ]),
      ),
  })),
  'scatterAdd and cumsum': pair.map(([m, n]) => ({
    half: [[m, n]],
    of: ([x]) => scatterAdd(cumsum(x, 0), 1, tensor(new Int32Array(m * n), { device: x.device, shape: [m, n] }), x),
    stored: 'f32',
  })),
  'losses by element': pair.map((shape) => ({
    half: [shape, shape],
    of: ([x, y]) => add(meanSquaredError(x, y), binaryCrossEntropy(x, y, { reduction: 'sum' })),
    stored: 'f32',
  })),
  softmax: pair.map((shape) => ({ half: [shape], of: ([x]) => softmax(x) })),
  logSoftmax: pair.map((shape) => ({ half: [shape], of: ([x]) => logSoftmax(x) })),
  rmsNorm: pair.map(([m, n]) => ({
    half: [[m, n]],
    full: [[n]],
    of: ([x], [gain]) => rmsNorm(x, gain, { epsilon: 0.1 }),
  })),
  layerNorm: pair.map(([m, n]) => ({
    half: [[m, n]],
    full: [[n], [n]],
    of: ([x], [gain, bias]) => layerNorm(x, gain, bias, { epsilon: 0.1 }),
  })),
  rotary: fc.constantFrom(1, 3, 8).map((half) => ({
    half: [[2, 5, 3, 2 * half]],
    of: ([x]) => rotary(x, { positionOffset: 3 }),
  })),
  dropout: pair.map((shape) => ({ half: [shape], of: ([x]) => dropout(x, 0.25, 7) })),
  'slices, permutations, reshapes and concatenations': pair.map(([m, n]) => ({
    half: [
      [m + 1, n, 2],
      [m, n, 2],
    ],
    of: ([x, y]) => reshape(permute(concatenate([slice(x, [1]), y], 1), [2, 0, 1]), [2 * m, 2 * n]),
  })),
  attention: fc.constantFrom(6, 8).map((headSize) => ({
    half: [1, 2, 3].map(() => [2, 9, 2, headSize]),
    of: ([q, k, v]) =>
      attention(q, k, v, { causal: true, lengths: tensor([9, 4], { device: q.device, dtype: 'i32' }) }),
  })),
  crossEntropy: pair.map(([m, n]) => ({
    half: [[m, n]],
    of: ([x]) =>
      crossEntropy(
        x,
        tensor(
          new Int32Array(m).map((_, i) => i % n),
          { device: x.device },
        ),
      ),
    stored: 'f32',
  })),
  embedding: pair.map(([m, n]) => ({
    half: [[m, n]],
    of: ([table]) =>
      embedding(
        tensor(
          new Int32Array(9).map((_, i) => (i * i) % m),
          { device: table.device },
        ),
        table,
      ),
  })),
  // Shapes for the form that shares by shuffles and for the other; few, because each choice of operands is a pipeline of its own.
  'product with a weight, a bias, a residual and a ReLU': fc
    .constantFrom<[number, number, number]>([31, 33, 3], [32, 64, 32], [17, 36, 8])
    .map(([m, n, k]) => ({
      half: [
        [2, m, k],
        [2, m, n],
      ],
      full: [[k, n], [n]],
      of: ([x, residual], [weight, bias]) => matmul(x, weight, bias, { residual, activation: 'relu' }),
    })),
  'product of two': fc.constantFrom<[number, number, number]>([36, 64, 32], [4, 4, 8]).map(([m, n, k]) => ({
    half: [
      [m, k],
      [n, k],
    ],
    of: ([a, b]) => matmul(a, transpose(b)),
  })),
};

/** Multiples of 1/64 up to 2, which f16 holds exactly, apart from 0: there a ReLU and a maximum have corners. */
function exact(shape: Shape, seed: number, device: Device, dtype: 'f16' | 'f32'): Tensor {
  const draw = (source: { uniform(): number }) => (Math.floor(source.uniform() * 256) - 127.5) / 64;
  return requireGradient(random(shape, { seed, device, dtype, draw }));
}

function agrees(device: Device, { half, full = [], of, stored = 'f16' }: Case, seed: number): Promise<void> {
  return step(async () => {
    const [expected, actual] = [reference, device].map((each) => {
      const dtype = each === reference ? 'f32' : 'f16';
      const narrow = half.map((shape, i) => exact(shape, seed + i, each, dtype));
      const wide = full.map((shape, i) => exact(shape, seed + 10 + i, each, 'f32'));
      const output = of(narrow, wide);
      backward(output, random(output.shape, { seed: 77, device: each }));
      return { output, gradients: [...narrow, ...wide].map((leaf) => leaf.gradient) };
    });
    expect(actual.output.dtype).toBe(stored);
    await expectClose(actual.output, expected.output, { absolute: 2e-3, relative: 2e-3 });
    for (const [i, gradient] of actual.gradients.entries()) {
      const value = expected.gradients[i];
      if (!value || !gradient) expect.fail(`no gradient for operand ${i}`);
      expect(gradient.dtype).toBe('f32');
      await expectClose(gradient, value, { absolute: 1e-2, relative: 4e-3 });
    }
  });
}

const describeWithHalves = describe.skipIf(webgpu !== null && !webgpu.supports('f16'));

describeWithHalves('operations over f16', () => {
  onWebGpu((device) => {
    test.each(Object.entries(operations))('%s', async (_name, cases) => {
      const property = fc.asyncProperty(cases, fc.nat({ max: 1000 }), (each, seed) => agrees(device, each, seed));
      await fc.assert(property, runs(8));
    });

    test('the forms for graphics hardware read and write it too', async () => {
      const hardware = await WebGpuDevice.open({ kernelSet: 'hardware' });
      for (const name of ['attention', 'product with a weight, a bias, a residual and a ReLU']) {
        const property = fc.asyncProperty(operations[name], (each) => agrees(hardware, each, 5));
        await fc.assert(property, runs(1));
      }
      hardware.trim();
    });

    test('softmax rounds once, to the nearest', async () => {
      await step(async () => {
        const x = exact([8, 33], 3, device, 'f16');
        // Half of the distance between neighbours in f16 is 2⁻¹¹ of them at most.
        await expectClose(softmax(x), softmax(cast(x, 'f32')), { absolute: 0, relative: 1.02 * 2 ** -11 });
      });
    });

    test('a number among f16 keeps its own precision and range', async () => {
      await step(async () => {
        const x = tensor([60_000], { device, dtype: 'f16' });
        expect(await div(x, 100_000).item()).toBeCloseTo(0.6, 3);
      });
    });

    test('casts round, pass the gradient as it is, and leave alone what is stored so already', async () => {
      await step(async () => {
        const x = requireGradient(tensor([1 / 3, -2, 1e-3], { device }));
        const narrow = cast(x, 'f16');
        const values = await narrow.data();
        expect(values).toBeInstanceOf(Float32Array);
        for (const [i, value] of [1 / 3, -2, 1e-3].entries())
          expect(Math.abs(values[i] / value - 1)).toBeLessThan(2 ** -10);
        expect(values[0]).not.toBe(Math.fround(1 / 3));
        expect(cast(narrow, 'f16')).toBe(narrow);
        sum(mul(cast(narrow, 'f32'), tensor([1e-9, 2, 3], { device }))).backward();
        expect(Array.from((await x.gradient?.data()) ?? [])).toEqual([Math.fround(1e-9), 2, 3]);
      });
    });

    test('what rounds beyond the largest f16 becomes infinite, as in PyTorch', async () => {
      await step(async () => {
        const given = [65_504, 65_519.99, 65_520, 1e30, -65_519.99, -65_520, Number.NaN, 2 ** -24, 2 ** -26];
        const kept = [65_504, 65_504, Infinity, Infinity, -65_504, -Infinity, Number.NaN, 2 ** -24, 0];
        expect(await cast(tensor(given, { device }), 'f16').toArray()).toEqual(kept);
        expect(await tensor(given, { device, dtype: 'f16' }).toArray()).toEqual(kept);
        expect(await full([1], 70_000, { device, dtype: 'f16' }).toArray()).toEqual([Infinity]);
        const integers = tensor([65_519, 65_520, -(2 ** 31)], { device, dtype: 'i32' });
        expect(await cast(integers, 'f16').toArray()).toEqual([65_504, Infinity, -Infinity]);
      });
    });

    test('elements of two bytes: odd counts, numbers beyond the range, slices, and the buffers returned', async () => {
      device.trim();
      const before = device.memory().liveBytes;
      await step(async () => {
        const x = tensor([1, 0.5, -3], { device, dtype: 'f16' });
        expect(x.byteLength).toBe(6);
        expect(await x.toArray()).toEqual([1, 0.5, -3]);
        expect(await slice(x, [1]).toArray()).toEqual([0.5, -3]);
        expect(await detach(x).toArray()).toEqual([1, 0.5, -3]);
        const moved = await x.to(cpu);
        expect(moved.dtype).toBe('f32');
        expect(await moved.toArray()).toEqual([1, 0.5, -3]);
        expect(await zeros([2, 3], { device, dtype: 'f16' }).toArray()).toEqual([
          [0, 0, 0],
          [0, 0, 0],
        ]);
        expect(await tensor([65_504, 1e6], { device, dtype: 'f16' }).toArray()).toEqual([
          65_504,
          Number.POSITIVE_INFINITY,
        ]);
      });
      expect(device.memory().liveBytes).toBe(before);
    });

    test('query, key and value are stored alike', async () => {
      await step(() => {
        const [q, k] = [zeros([1, 2, 1, 4], { device, dtype: 'f16' }), zeros([1, 2, 1, 4], { device })];
        expect(() => attention(q, k, q)).toThrow(DTypeError);
        expect(() => attention(q, k, q)).toThrow(
          'attention: q, k and v have dtype f16, f32 and f16 (allowed: one for all)',
        );
      });
    });
  });
});

test('a device without it says so, and casts between f64 and f32', async () => {
  await step(async () => {
    expect(() => tensor([1], { device: cpu, dtype: 'f16' })).toThrow(DTypeError);
    expect(() => tensor([1], { device: cpu, dtype: 'f16' })).toThrow('allowed there: bf16, f32, f64, i32');
    const x = requireGradient(tensor([1 / 3], { device: cpu, dtype: 'f64' }));
    expect(() => cast(x, 'f16')).toThrow('cast: dtype f16 is not available on cpu');
    const single = cast(x, 'f32');
    expect(await single.item()).toBe(Math.fround(1 / 3));
    single.backward();
    expect(x.gradient?.dtype).toBe('f64');
  });
});
