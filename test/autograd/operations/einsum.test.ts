import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ArgumentError, einsum, gradcheck, ShapeError, step, type Tensor, tensor } from '../../../src/index.ts';
import { cpu, onEachDevice } from '../../devices.ts';
import { expectClose, inLayout, layout, random, runs } from '../../shapes.ts';

const extents: Readonly<Record<string, number>> = { a: 2, b: 3, c: 1, d: 4 };

/** The definition: one loop over every combination of all letters. */
function plain(equation: string, operands: readonly (readonly number[])[]): number[] {
  const [inputs, output] = equation.split('->');
  const letters = Object.keys(extents).filter((letter) => inputs.includes(letter));
  const place = (axes: string, at: Readonly<Record<string, number>>) =>
    [...axes].reduce((index, letter) => index * extents[letter] + at[letter], 0);
  const result = new Array<number>([...output].reduce((size, letter) => size * extents[letter], 1)).fill(0);
  const walk = (i: number, at: Readonly<Record<string, number>>): void => {
    if (i < letters.length) {
      for (let j = 0; j < extents[letters[i]]; j++) walk(i + 1, { ...at, [letters[i]]: j });
      return;
    }
    const factors = inputs.split(',').map((axes, operand) => operands[operand][place(axes, at)]);
    result[place(output, at)] += factors.reduce((product, factor) => product * factor, 1);
  };
  walk(0, {});
  return result;
}

const axes = fc.shuffledSubarray(Object.keys(extents)).map((letters) => letters.join(''));
const equations = fc
  .array(axes, { minLength: 1, maxLength: 3 })
  .chain((inputs) =>
    fc.shuffledSubarray([...new Set(inputs.join(''))]).map((output) => `${inputs.join(',')}->${output.join('')}`),
  );
const shapeOf = (letters: string) => [...letters].map((letter) => extents[letter]);

onEachDevice((device) => {
  test('einsum is the sum of the products, of any letters', async () => {
    const property = fc.asyncProperty(equations, layout, fc.nat({ max: 100 }), async (equation, kind, seed) => {
      await step(async () => {
        const operands = equation
          .split('->')[0]
          .split(',')
          .map((letters, i) => {
            const shape = shapeOf(letters);
            return inLayout(
              random(
                kind === 'permuted'
                  ? shape.toReversed()
                  : kind === 'sliced'
                    ? shape.map((extent) => extent + 2)
                    : shape,
                { seed: seed + i, device },
              ),
              kind,
            );
          });
        const values = await Promise.all(operands.map(async (operand) => [...(await operand.data())]));
        const expected = tensor(Float32Array.from(plain(equation, values)), {
          device: cpu,
          shape: shapeOf(equation.split('->')[1]),
        });
        await expectClose(einsum(equation, ...operands), expected, { absolute: 1e-5 });
      });
    });
    await fc.assert(property, runs(40));
  });
});

test.each(['ab,bd->ad', 'abd,dba->b', 'ab,b,bd->d', 'ab->'])('gradients of %s', async (equation) => {
  const operands = equation
    .split('->')[0]
    .split(',')
    .map((letters, i) => random(shapeOf(letters), { seed: i, device: cpu, dtype: 'f64' }));
  await gradcheck((...moved: Tensor[]) => einsum(equation, ...moved), operands);
});

describe('what does not fit is refused', () => {
  const x = random([2, 3], { seed: 1, device: cpu });
  test.each([
    ['no result', 'ab', [x]],
    ['an axis twice', 'aa->a', [x]],
    ['an ellipsis', '...a->a', [x]],
    ['operands too few', 'ab,bc->ac', [x]],
    ['a result from nowhere', 'ab->c', [x]],
  ])('%s', (_name, equation, operands) => expect(() => einsum(equation, ...operands)).toThrow(ArgumentError));
  test('other shapes', () => expect(() => einsum('ab,ab->a', x, x.transpose())).toThrow(ShapeError));
});
