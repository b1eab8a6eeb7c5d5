/** Categories drawn at random. */
import { checkRandom, tensor } from '../../../tensor/create.ts';
import { dispatch } from '../../../tensor/dispatch.ts';
import { ArgumentError } from '../../../tensor/errors.ts';
import { flatWorkgroups, kernel } from '../../../tensor/kernel.ts';
import { checkOptions } from '../../../tensor/options.ts';
import type { Random } from '../../../tensor/random.ts';
import { allocate, dense, type Tensor } from '../../../tensor/tensor.ts';
import { begin } from '../../record.ts';
import { rowsOf } from '../row-kernel.ts';
import { workgroupSize } from './along-axis.ts';

const multinomialKernel = kernel({
  name: 'multinomial',
  operands: { weights: 'read', randoms: 'read', drawn: 'update' },
  scalars: { rows: 'u32', categories: 'u32', count: 'u32', replacement: 'u32' },
  wgsl: { file: 'multinomial' },
  reference({ weights, randoms, drawn }, { rows, categories, count, replacement }) {
    for (let row = 0; row < rows; row++) {
      const left = Array.from(weights.subarray(row * categories, (row + 1) * categories));
      const isValid = left.every((weight) => weight >= 0 && weight < Number.POSITIVE_INFINITY);
      for (let at = row * count; at < (row + 1) * count; at++) {
        const goal = randoms[at] * left.reduce((total, weight) => total + weight, 0);
        let sum = 0;
        const found = left.findIndex((weight) => {
          sum += weight;
          return weight > 0 && goal < sum;
        });
        drawn[at] = isValid ? Math.max(found, found < 0 ? left.findLastIndex((weight) => weight > 0) : 0) : -1;
        if (!replacement && drawn[at] >= 0) left[drawn[at]] = 0;
      }
    }
  },
});

export interface MultinomialOptions {
  /** Where the random numbers come from; as many are drawn from it as there are results. */
  random: Random;
  /** Whether a category may be drawn several times from one row; false by default, as in PyTorch. */
  replacement?: boolean;
}

/**
 * Categories drawn at random. weights: (…, categories), of at least 0, which need not add up to 1; the result is (…, count), i32. The same
 * seed draws the same on every device, but where rounding decides. -1 where a weight is negative or not finite, or none above 0 is left.
 *
 * @throws ArgumentError where `count` is no whole number of at least 1, or more than the categories without replacement; ShapeError
 * for a scalar.
 */
export function multinomial(weights: Tensor, count: number, options: MultinomialOptions): Tensor {
  begin('multinomial', weights);
  checkOptions('multinomial', options, ['random', 'replacement']);
  const { random, replacement = false } = options;
  const { rows, columns: categories } = rowsOf('multinomial', weights);
  if (!Number.isInteger(count) || count < 1 || (!replacement && count > categories)) {
    const most = replacement
      ? 'a whole number of at least 1'
      : `1 … ${categories}, the categories; more with replacement`;
    throw new ArgumentError(`multinomial: count is ${count} (allowed: ${most})`);
  }
  checkRandom('multinomial', random);
  const { device } = weights;
  const shape = [...weights.shape.slice(0, -1), count];
  // Room on the device is asked for first: what does not fit must not cost memory.
  const drawn = allocate(device, 'i32', shape, 'multinomial');
  const numbers = Float32Array.from({ length: rows * count }, () => random.uniform());
  dispatch(multinomialKernel, {
    operands: { weights: dense(weights), randoms: tensor(numbers, { device, shape, name: 'multinomial' }), drawn },
    scalars: { rows, categories, count, replacement: replacement ? 1 : 0 },
    workgroups: flatWorkgroups(rows, workgroupSize),
    flops: 0,
  });
  return drawn;
}
