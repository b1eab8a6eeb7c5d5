import { describe, expect, test } from 'vitest';
import { record } from '../../src/autograd/record.ts';
import { GradientCheckError, gradcheck, less, mul, noGrad, type Tensor, tensor } from '../../src/index.ts';
import { cpu } from '../devices.ts';
import { random } from '../shapes.ts';

const x = random([2, 3], { seed: 1, device: cpu, dtype: 'f64' });
const y = random([2, 3], { seed: 2, device: cpu, dtype: 'f64' });

/** x · y, whose rule for y is `gradient`. */
function product(gradient: (g: Tensor) => Tensor): (x: Tensor, y: Tensor) => Tensor {
  return (x, y) =>
    record(
      'product',
      noGrad(() => mul(x, y)),
      [
        { input: x, saves: [y], gradient: (g, [y]) => g.mul(y) },
        { input: y, gradient },
      ],
    );
}

describe('a wrong gradient is found', () => {
  test('and the input, element, gradient and difference are named', async () => {
    const check = () =>
      gradcheck(
        product((g) => g),
        [x, y],
      );
    await expect(check()).rejects.toThrow(GradientCheckError);
    await expect(check()).rejects.toThrow(
      /^gradcheck: input 1 \[2, 3\], element 0: the gradient is -?[\d.e-]+, the central difference -?[\d.e-]+$/,
    );
  });

  test('in a single element, by a thousandth', async () => {
    const mask = tensor([1, 1, 1, 1, 1.001, 1], { device: cpu, dtype: 'f64', shape: [2, 3] });
    const wrong = gradcheck(
      product((g) => g.mul(x).mul(mask)),
      [x, y],
    );
    await expect(wrong).rejects.toThrow('input 1 [2, 3], element 4');
  });

  test('where there should be one and none is recorded', async () => {
    const wrong = gradcheck((x) => noGrad(() => x.exp()).add(x.mul(0)), [x]);
    await expect(wrong).rejects.toThrow(/element 0: the gradient is -?0, the central difference/);
  });
});

test('a right gradient passes, of inputs of any size and shape', async () => {
  await gradcheck(
    product((g) => g.mul(x)),
    [x, y],
  );
  await gradcheck((x) => x.mul(0), [x]);
  await gradcheck((x) => x.exp(), [tensor(0.5, { device: cpu, dtype: 'f64' })]);
  await gradcheck((x) => x.exp(), [random([0, 3], { seed: 1, device: cpu, dtype: 'f64' })]);
  await gradcheck((x) => x.exp(), [random([100], { seed: 1, device: cpu, dtype: 'f64' })], { elements: 3 });
});

test('a function without any gradient is refused', async () => {
  await expect(gradcheck((x) => less(x, 0), [x])).rejects.toThrow('depends on nothing that needs a gradient');
});
