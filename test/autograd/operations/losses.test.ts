import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ArgumentError,
  binaryCrossEntropy,
  DTypeError,
  gradcheck,
  log,
  meanSquaredError,
  requireGradient,
  ShapeError,
  sigmoid,
  step,
  sub,
  sum,
  tensor,
} from '../../../src/index.ts';
import { cpu, onEachDevice, onWebGpu } from '../../devices.ts';
import { baseShape, expectClose, inLayout, layout, random, runs, shapes } from '../../shapes.ts';
import { expectAgreement, leaf } from './agreement.ts';

const losses = { meanSquaredError, binaryCrossEntropy };
const reductions = fc.constantFrom('mean', 'sum', 'none');
const seeds = fc.nat({ max: 1000 });

describe('gradients agree with central differences in f64', () => {
  for (const [name, loss] of Object.entries(losses)) {
    test(name, async () => {
      const property = fc.asyncProperty(shapes(), layout, reductions, seeds, async (shape, kind, reduction, seed) => {
        const [x, y] = [seed, seed + 1].map((each) =>
          random(baseShape(shape, kind), { seed: each, device: cpu, dtype: 'f64' }),
        );
        await gradcheck((x, y) => loss(inLayout(x, kind), inLayout(y, kind), { reduction }), [x, y], {
          elements: 4,
          seed,
        });
      });
      await fc.assert(property, runs(20));
    });
  }
});

describe('kernels agree with the reference loops', () => {
  onWebGpu((webgpu) => {
    for (const [name, loss] of Object.entries(losses)) {
      test(name, async () => {
        const property = fc.asyncProperty(shapes(), layout, reductions, seeds, (shape, kind, reduction, seed) =>
          expectAgreement(
            webgpu,
            (device) => {
              const [x, y] = [seed, seed + 1].map((each) =>
                leaf(baseShape(shape, kind), { seed: each, device, scale: 4 }),
              );
              return { output: loss(inLayout(x, kind), inLayout(y, kind), { reduction }), leaves: [x, y] };
            },
            { absolute: 1e-5, relative: 1e-5 },
          ),
        );
        await fc.assert(property, runs(20));
      });
    }
  });
});

onEachDevice((device) => {
  test('meanSquaredError', async () => {
    await step(async () => {
      const [x, y] = [tensor([1, 2, 3], { device }), tensor([1, 0, 6], { device })];
      expect(await meanSquaredError(x, y, { reduction: 'none' }).toArray()).toEqual([0, 4, 9]);
      expect(await meanSquaredError(x, y, { reduction: 'sum' }).item()).toBe(13);
      expect(await meanSquaredError(x, y).item()).toBeCloseTo(13 / 3, 6);
    });
  });

  test('binaryCrossEntropy is that of the probabilities', async () => {
    await step(async () => {
      const logits = random([3, 4], { seed: 1, device });
      const targets = random([3, 4], { seed: 2, device, draw: (source) => source.uniform() });
      const p = sigmoid(logits);
      const expected = targets
        .mul(log(p))
        .add(sub(1, targets).mul(log(sub(1, p))))
        .neg();
      await expectClose(binaryCrossEntropy(logits, targets, { reduction: 'none' }), expected);
      await expectClose(binaryCrossEntropy(logits, targets, { reduction: 'sum' }), sum(expected));
    });
  });

  test('large logits neither overflow nor lose a small loss', async () => {
    await step(async () => {
      const logits = requireGradient(tensor([20, -20, 1e4, -1e4, 1e4], { device }));
      const loss = binaryCrossEntropy(logits, tensor([1, 0, 1, 1, 0], { device }), { reduction: 'none' });
      const small = Math.log1p(Math.exp(-20));
      await expectClose(loss, tensor([small, small, 0, 1e4, 1e4], { device }), { absolute: 0 });
      loss.sum().backward();
      expect(await logits.gradient?.slice([2]).toArray()).toEqual([0, -1, 1]);
    });
  });
});

test('what does not fit is refused', () => {
  for (const [name, loss] of Object.entries(losses)) {
    const x = random([2, 1], { seed: 1, device: cpu });
    const wide = random([2], { seed: 1, device: cpu });
    expect(() => loss(x, wide)).toThrow(
      new ShapeError(`${name}: shapes [2, 1] and [2] differ (allowed: one for both)`),
    );
    expect(() => loss(x, tensor(Int32Array.of(1, 2), { device: cpu, shape: [2, 1] }))).toThrow(DTypeError);
    expect(() => Reflect.apply(loss, undefined, [x, x, { reduction: 'median' }])).toThrow(
      new ArgumentError(`${name}: reduction is 'median' (allowed: mean, sum, none)`),
    );
    expect(() => Reflect.apply(loss, undefined, [x, x, 'sum'])).toThrow('did you mean { reduction: sum }?');
  }
});
