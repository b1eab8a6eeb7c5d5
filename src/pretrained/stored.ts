/** Between the form of the file and ours: matrices turned over, fused ones parted and fused again. */
import type { Parameter } from '../nn/parameter.ts';
import { copyInto } from '../tensor/copy.ts';
import { fromBFloat16, tensor } from '../tensor/create.ts';
import { computeDType, type NumericArray, typedArray } from '../tensor/dtype.ts';
import { FileFormatError } from '../tensor/errors.ts';
import { rowMajorStrides } from '../tensor/shape.ts';
import type { StoredWeight } from './family.ts';

/** The shape that a tensor has in the file. */
export function storedShape({ isTransposed }: StoredWeight, parts: readonly Parameter[]): number[] {
  const outputs = parts.reduce((sum, { shape }) => sum + shape[shape.length - 1], 0);
  const shape = [...parts[0].shape.slice(0, -1), outputs];
  return isTransposed ? shape.reverse() : shape;
}

/** Writes the values of a stored tensor, bf16 as bits, into the parameters that it holds. */
export function fillParts(
  { name, isTransposed }: Pick<StoredWeight, 'name' | 'isTransposed'>,
  parts: readonly Parameter[],
  values: NumericArray | Uint16Array,
): void {
  const [{ device, dtype }] = parts;
  const outputs = parts.reduce((sum, { shape }) => sum + shape[shape.length - 1], 0);
  const shape = [values.length];
  const whole =
    values instanceof Uint16Array
      ? fromBFloat16(values, { device, shape, name })
      : tensor(values, { device, dtype: computeDType(dtype), name, shape });
  let first = 0;
  for (const part of parts) {
    // Ours is (inputs, outputs) or (outputs); the file may have the axes the other way round.
    const inputs = part.rank === 2 ? part.shape[0] : 1;
    const ofOutput = isTransposed ? inputs : 1;
    const strides = part.rank === 2 ? [isTransposed ? 1 : outputs, ofOutput] : [1];
    const source = whole.view({ shape: part.shape, strides, offset: first * ofOutput }, name);
    copyInto(source, part, rowMajorStrides(part.shape));
    first += part.shape[part.rank - 1];
  }
}

export function find(parameters: ReadonlyMap<string, Parameter>, path: string): Parameter {
  const parameter = parameters.get(path);
  if (parameter) return parameter;
  throw new FileFormatError(`weights: the model has no parameter ${path}`);
}

/** The values of a stored tensor from the parameters that it holds: what `fillParts` takes apart. */
export async function storedValues(
  weight: Pick<StoredWeight, 'isTransposed'>,
  parts: readonly Pick<Parameter, 'shape' | 'data'>[],
): Promise<NumericArray> {
  const arrays: NumericArray[] = [];
  for (const part of parts) arrays.push(await part.data());
  return fuse(
    weight.isTransposed,
    parts.map(({ shape }) => shape),
    arrays,
  );
}

/** Matrices of (inputs, outputs), or vectors of (outputs), one after the other along their outputs. */
export function fuse(isTransposed: boolean, shapes: readonly (readonly number[])[], arrays: readonly NumericArray[]) {
  const total = shapes.reduce((sum, shape) => sum + shape[shape.length - 1], 0);
  const inputs = shapes[0].length === 2 ? shapes[0][0] : 1;
  const result = typedArray(arrays[0] instanceof Float64Array ? 'f64' : 'f32', inputs * total);
  let first = 0;
  shapes.forEach((shape, i) => {
    const values = arrays[i];
    const outputs = shape[shape.length - 1];
    for (let row = 0, from = 0; row < inputs; row++) {
      for (let column = 0; column < outputs; column++, from++) {
        const at = first + column;
        result[isTransposed ? at * inputs + row : row * total + at] = values[from];
      }
    }
    first += outputs;
  });
  return result;
}
