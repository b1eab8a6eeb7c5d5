/** Einstein summation. */
import { ArgumentError, ShapeError } from '../../tensor/errors.ts';
import { formatShape, sizeOf } from '../../tensor/shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { begin } from '../record.ts';
import { matmul } from './matmul/matmul.ts';
import { sum } from './reduction/reduction.ts';
import { permute, reshape } from './views.ts';

/** A tensor whose axes have names, a letter each. */
interface Named {
  x: Tensor;
  axes: string;
}

/**
 * Sums of products along named axes: `einsum('bij,bjk->bik', a, b)` is a batch of matrix products. A letter names an axis in every
 * operand that has it; letters that are not in the result are summed over. Several operands are taken from the left, each pair as one
 * matrix product. The result is stored as `matmul` and `sum` store theirs.
 *
 * @throws ArgumentError for a text of another form (each letter once in an operand, no ellipsis); ShapeError for operands that do not
 * have its axes.
 */
export function einsum(equation: string, ...operands: readonly Tensor[]): Tensor {
  begin('einsum', ...operands);
  const { inputs, output } = parse(equation);
  if (inputs.length !== operands.length) {
    throw new ArgumentError(`einsum: '${equation}' names ${inputs.length} operands, got ${operands.length}`);
  }
  const extents = new Map<string, number>();
  inputs.forEach((axes, i) => {
    const { shape } = operands[i];
    if (axes.length !== shape.length) throw misfit(equation, operands);
    [...axes].forEach((letter, axis) => {
      if ((extents.get(letter) ?? shape[axis]) !== shape[axis]) throw misfit(equation, operands);
      extents.set(letter, shape[axis]);
    });
  });
  const stranger = [...output].find((letter) => !extents.has(letter));
  if (stranger) throw new ArgumentError(`einsum: '${equation}' has no operand with the axis ${stranger} of its result`);
  let [left, ...others]: Named[] = inputs.map((axes, i) => ({ x: operands[i], axes }));
  for (const [i, right] of others.entries()) {
    const later = inputs.slice(i + 2).join('');
    left = product(left, right, new Set(later + output), extents);
  }
  const { x, axes } = summedOver(left, new Set(output));
  return permute(
    x,
    [...output].map((letter) => axes.indexOf(letter)),
  );
}

function parse(equation: unknown): { inputs: string[]; output: string } {
  const match =
    typeof equation === 'string'
      ? /^([a-zA-Z]*(?:,[a-zA-Z]*)*)->([a-zA-Z]*)$/.exec(equation.replaceAll(' ', ''))
      : null;
  const inputs = match?.[1].split(',') ?? [];
  const output = match?.[2] ?? '';
  const isPlain = match !== null && [...inputs, output].every((axes) => new Set(axes).size === axes.length);
  if (isPlain) return { inputs, output };
  throw new ArgumentError(
    `einsum: '${String(equation)}' is no equation (allowed: letters for axes, such as 'bij,bjk->bik', each once in an operand)`,
  );
}

/** Sums over the axes that nobody needs later, as one product: (both, left, summed) · (both, summed, right). */
function product(left: Named, right: Named, needed: ReadonlySet<string>, extents: ReadonlyMap<string, number>): Named {
  const a = summedOver(left, new Set([...needed, ...right.axes]));
  const b = summedOver(right, new Set([...needed, ...left.axes]));
  const shared = [...a.axes].filter((letter) => b.axes.includes(letter));
  const both = shared.filter((letter) => needed.has(letter)).join('');
  const summed = shared.filter((letter) => !needed.has(letter)).join('');
  const only = (one: Named, other: Named) => [...one.axes].filter((letter) => !other.axes.includes(letter)).join('');
  const [ofLeft, ofRight] = [only(a, b), only(b, a)];
  const shapeOf = (letters: string) => [...letters].map((letter) => extents.get(letter) ?? 1);
  const asMatrices = ({ x, axes }: Named, ...groups: string[]) =>
    reshape(
      permute(
        x,
        [...groups.join('')].map((letter) => axes.indexOf(letter)),
      ),
      groups.map((letters) => sizeOf(shapeOf(letters))),
    );
  const result = matmul(asMatrices(a, both, ofLeft, summed), asMatrices(b, both, summed, ofRight));
  const axes = both + ofLeft + ofRight;
  return { x: reshape(result, shapeOf(axes)), axes };
}

function summedOver({ x, axes }: Named, needed: ReadonlySet<string>): Named {
  const gone = [...axes].flatMap((letter, axis) => (needed.has(letter) ? [] : [axis]));
  if (gone.length === 0) return { x, axes };
  return { x: sum(x, { axes: gone }), axes: [...axes].filter((letter) => needed.has(letter)).join('') };
}

function misfit(equation: string, operands: readonly Tensor[]): ShapeError {
  const shapes = operands.map(({ shape }) => formatShape(shape)).join(', ');
  return new ShapeError(
    `einsum: operands ${shapes} do not have the axes of '${equation}' (allowed: one extent a letter)`,
  );
}
