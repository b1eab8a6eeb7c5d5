/** What PyTorch says at the edges: no element, one, ties, NaN, infinities, zeros, integers (test/reference/edge_cases.py). */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import * as library from '../../../src/index.ts';
import { cpu, onEachDevice } from '../../devices.ts';

const { backward, FrostgradError, gradientOf, requireGradient, step, tensor } = library;

interface Values {
  shape: readonly number[];
  data: readonly (number | string)[];
  dtype?: 'i32';
}

interface Case {
  expression: string;
  operands: readonly Values[];
  /** null where PyTorch refuses. */
  results: readonly Values[] | null;
  gradients?: readonly (readonly (number | string)[])[];
}

const cases: readonly Case[] = JSON.parse(
  readFileSync(new URL('../fixtures/edge-cases.json', import.meta.url), 'utf8'),
);
const numberOf = (value: number | string) =>
  value === 'inf' ? Infinity : value === '-inf' ? -Infinity : Number(value);

/** Rounding in f32 is of the size of what was computed; its smallest numbers may be flushed to 0. */
function firstDifference(actual: ArrayLike<number>, expected: readonly (number | string)[]): string | null {
  if (actual.length !== expected.length) return `${actual.length} values instead of ${expected.length}`;
  const right = expected.map(numberOf);
  const size = Math.min(1, Math.max(...right.filter(Number.isFinite).map(Math.abs)));
  const i = right.findIndex((value, i) => {
    const isClose = Math.abs(actual[i] - value) <= 5e-6 * Math.max(Math.abs(value), size) + 1.2e-38;
    return (
      !isClose &&
      !Object.is(actual[i], value) &&
      actual[i] !== value &&
      !(Math.abs(value) > 3.4e38 && !Number.isFinite(actual[i]))
    );
  });
  return i < 0 ? null : `value ${i} is ${actual[i]} instead of ${right[i]}`;
}

function resultsOf(returned: unknown): library.Tensor[] {
  if (Array.isArray(returned)) return returned;
  const { values, indices } = Object(returned);
  return values ? [values, indices] : [Object(returned)];
}

async function differences({ expression, operands, results, gradients = [] }: Case): Promise<(string | null)[]> {
  const compute = Reflect.construct(Function, [
    '$',
    'x',
    'y',
    'z',
    `const { ${Object.keys(library)} } = $; return ${expression};`,
  ]);
  const leaves = operands.map(({ shape, data, dtype }) => {
    const made = tensor(data.flat().map(numberOf), { shape, dtype });
    return dtype ? made : requireGradient(made);
  });
  const run = () => resultsOf(Reflect.apply(compute, undefined, [library, ...leaves]));
  if (results === null) {
    expect(run, expression).toThrow(FrostgradError);
    return [];
  }
  const found = run();
  expect(
    found.map(({ shape }) => shape),
    expression,
  ).toEqual(results.map(({ shape }) => shape));
  const [first] = found;
  if (gradients.length > 0) {
    backward(
      first,
      tensor(
        Float64Array.from({ length: first.size }, (_, i) => (i % 5) * 0.25 + 0.5),
        { shape: first.shape, dtype: first.dtype },
      ),
    );
  }
  const own = leaves.map(gradientOf).filter((gradient) => gradient !== null);
  return await Promise.all([
    ...results.map(async ({ data }, i) => firstDifference(await found[i].data(), data)),
    ...gradients.map(async (gradient, i) => firstDifference(await own[i].data(), gradient)),
  ]);
}

onEachDevice((device) => {
  test('the edges of operations are those of PyTorch', async () => {
    library.setDefaultDevice(device);
    const wrong: string[] = [];
    try {
      for (const each of cases) {
        const found = await step(() => differences(each));
        const shown = () => `${each.expression} of ${JSON.stringify(each.operands)}`;
        wrong.push(...found.flatMap((text, i) => (text ? [`${shown()}: result or gradient ${i}: ${text}`] : [])));
      }
    } finally {
      library.setDefaultDevice(cpu);
    }
    expect(wrong).toEqual([]);
    expect(cases.length).toBeGreaterThan(900);
  });
});
