/** Gradients held against central differences. */
import { tensor } from '../tensor/create.ts';
import { ArgumentError, FrostgradError } from '../tensor/errors.ts';
import { checkOptions } from '../tensor/options.ts';
import { Random } from '../tensor/random.ts';
import { step } from '../tensor/scope.ts';
import { formatShape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { backward } from './backward.ts';
import { gradientOf } from './leaf-gradient.ts';
import { requireGradient } from './node.ts';
import { mul } from './operations/pointwise/pointwise.ts';
import { sum } from './operations/reduction/reduction.ts';
import { checkTensors, noGrad } from './record.ts';

/** A gradient that disagrees with the finite difference. */
export class GradientCheckError extends FrostgradError {}

export interface GradcheckOptions {
  /** Half of the distance between the two points of a central difference. */
  epsilon?: number;
  absoluteTolerance?: number;
  relativeTolerance?: number;
  /** At most this many elements of each input are checked, chosen at random. */
  elements?: number;
  seed?: number;
}

const gradcheckOptions = ['epsilon', 'absoluteTolerance', 'relativeTolerance', 'elements', 'seed'];

/**
 * Compares the gradients of `f` with central differences, element by element. The outputs are weighted with fixed random
 * numbers, so that errors of different outputs cannot cancel. Give f64 tensors of the `cpu` device: in f32 differences
 * are mostly rounding.
 *
 * @param f maps tensors of the shapes of `inputs` to one tensor of any shape.
 * @throws GradientCheckError that names the input, the element, the gradient and the difference.
 */
export async function gradcheck(
  f: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  options: GradcheckOptions = {},
): Promise<void> {
  checkOptions('gradcheck', options, gradcheckOptions);
  if (!Array.isArray(inputs))
    throw new ArgumentError(`gradcheck: the inputs are ${inputs} (allowed: a list of tensors)`);
  checkTensors('gradcheck', inputs);
  const { epsilon = 1e-5, absoluteTolerance = 1e-7, relativeTolerance = 1e-5, elements = 64, seed = 0 } = options;
  const values = await Promise.all(inputs.map((input) => input.data()));
  const random = new Random(seed, 1);
  let weights: Float64Array | null = null;

  const rebuild = (data: (typeof values)[number], i: number): Tensor => {
    const { device, dtype, shape } = inputs[i];
    return tensor(data, { device, dtype, shape, name: `input ${i}` });
  };
  const objective = (operands: Tensor[]): Tensor => {
    const output = f(...operands);
    weights ??= Float64Array.from({ length: output.size }, () => random.normal());
    return sum(mul(output, tensor(weights, { device: output.device, dtype: output.dtype, shape: output.shape })));
  };

  const gradients = await step(async () => {
    const leaves = values.map((data, i) => requireGradient(rebuild(data, i)));
    backward(objective(leaves));
    return await Promise.all(
      leaves.map(async (leaf) => (await gradientOf(leaf)?.data()) ?? new Float64Array(leaf.size)),
    );
  });

  for (const [i, data] of values.entries()) {
    const all = Array.from({ length: data.length }, (_, element) => element);
    const chosen = data.length <= elements ? all : Array.from({ length: elements }, () => random.integer(data.length));
    for (const element of chosen) {
      const at = (distance: number) =>
        step(async () => {
          const moved = values.map((each, j) => {
            const copy = each.slice();
            if (j === i) copy[element] += distance;
            return rebuild(copy, j);
          });
          return await noGrad(() => objective(moved)).item();
        });
      const difference = ((await at(epsilon)) - (await at(-epsilon))) / (2 * epsilon);
      const gradient = gradients[i][element];
      const error = Math.abs(gradient - difference);
      if (error <= absoluteTolerance + relativeTolerance * Math.max(Math.abs(gradient), Math.abs(difference))) continue;
      throw new GradientCheckError(
        `gradcheck: input ${i} ${formatShape(inputs[i].shape)}, element ${element}: the gradient is ${gradient}, ` +
          `the central difference ${difference}${inputs[i].dtype === 'f64' ? '' : ', which is mostly rounding in f32: give f64, on cpu'}`,
      );
    }
  }
}
