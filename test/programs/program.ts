/**
 * Random programs over the public interface: operations with whatever arguments, hostile ones too, on tensors of random shapes, dtypes
 * and layouts. Each operation is run on a device and, from the same numbers, by the plain loops in f64: both give the same values and
 * gradients, or both refuse by a named error.
 */
import fc from 'fast-check';
import * as pointwise from '../../src/autograd/operations/pointwise/pointwise.ts';
import * as reduction from '../../src/autograd/operations/reduction/reduction.ts';
import * as statistics from '../../src/autograd/operations/reduction/statistics.ts';
import * as library from '../../src/index.ts';
import {
  backward,
  type Device,
  FrostgradError,
  gradientOf,
  requireGradient,
  step,
  type Tensor,
  tensor,
} from '../../src/index.ts';
import { CpuDevice } from '../../src/tensor/cpu/cpu-device.ts';
import { baseShape, inLayout, type Layout, layouts } from '../shapes.ts';

/** The plain loops, in f64. */
const reference = new CpuDevice({ kernels: 'reference' });

/** Numbers a program draws from, in turn; the same ones on both devices. */
interface Draws {
  number(below: number): number;
}

interface Value {
  readonly shape: readonly number[];
  readonly dtype: 'f32' | 'i32';
  readonly data: readonly number[];
}

type Operation = (operands: readonly Tensor[], args: readonly unknown[]) => unknown;

/** How many tensors it takes, what arguments it may get, and the call. */
interface Entry {
  readonly tensors: number;
  readonly args: readonly (readonly unknown[])[];
  readonly call: Operation;
  /** Whether `call` itself takes a tensor for granted. */
  readonly isOnTensorsAlone?: boolean;
}

const axis = [0, 1, -1, 2, -3];
const axes = [...axis, [0], [0, 1], [-1, 0], []];
const hostile: readonly unknown[] = [
  Number.NaN,
  -7,
  1.5,
  Number.POSITIVE_INFINITY,
  '0',
  null,
  undefined,
  true,
  {},
  [],
  [-1],
  [1e9, 1e9],
  { dim: 0 },
];

const named = (
  names: Readonly<Record<string, unknown>>,
  tensors: (name: string) => number,
  args: readonly (readonly unknown[])[],
) => Object.keys(names).map((name): [string, Entry] => [name, { tensors: tensors(name), args, call: callOf(name) }]);

function callOf(name: string): Operation {
  const found: unknown = Reflect.get(library, name);
  if (typeof found !== 'function') throw new Error(`${name} is not exported`);
  return (operands, args) => Reflect.apply(found, undefined, [...operands, ...args]);
}

const entry = (name: string, tensors: number, ...args: readonly (readonly unknown[])[]): [string, Entry] => [
  name,
  { tensors, args, call: callOf(name) },
];
const list = (name: string, tensors: number, ...args: readonly (readonly unknown[])[]): [string, Entry] => [
  name,
  { tensors, args, call: (operands, given) => callOf(name)([], [operands, ...given]) },
];
/** On the device of a tensor; its options come last. */
const creation = (name: string, ...args: readonly (readonly unknown[])[]): [string, Entry] => [
  name,
  {
    tensors: 1,
    isOnTensorsAlone: true,
    args,
    call: ([{ device }], given) => {
      const random = name === 'uniform' || name === 'normal' ? { random: new library.Random(5) } : {};
      return callOf(name)([], [...given.slice(0, args.length), { device, ...random }]);
    },
  },
];
const shapes = [[], [2, 3], [0, 2], [-1], [1.5], 4];
const einsums = ['ij->ji', 'ij,jk->ik', 'ij,ij->', 'ij,j->i', 'i,i->', 'ijk,ikl->ijl'];
const equation = (tensors: number): [string, Entry] => [
  `einsum of ${tensors}`,
  {
    tensors,
    args: [einsums],
    call: (operands, [text]) => Reflect.apply(library.einsum, undefined, [text, ...operands]),
  },
];

const entries: readonly [string, Entry][] = [
  ...named(
    pointwise,
    (name) => Object.entries(pointwise).find(([each]) => each === name)?.[1].row.derivatives.length ?? 1,
    [],
  ),
  ...named({ ...reduction, ...statistics }, () => 1, [
    [
      undefined,
      ...axes.map((each) => ({ axes: each })),
      { keepDims: true },
      { axes: '0' },
      { axes: null },
      ...axes.map((each) => ({ axes: each, keepDims: true })),
    ],
  ]),
  entry(
    'softmax',
    1,
    axis.map((each) => ({ axis: each })),
  ),
  entry(
    'logSoftmax',
    1,
    axis.map((each) => ({ axis: each })),
  ),
  entry('reshape', 1, [[-1], [2, -1], [-1, 3], [6], [2, 3], [1, -1, 1]]),
  entry('transpose', 1, [undefined, ...axis], [undefined, ...axis]),
  entry('permute', 1, [[0], [1, 0], [2, 0, 1], [-1, 0]]),
  entry('slice', 1, [[0], [1], [0, 1], [-1]], [[], [1], [2, 2], [-1]]),
  entry('at', 1, [0, -1, null, [1, null], [0, 1]], [null, 0, [-1, null]]),
  entry('broadcastTo', 1, [[2, 3], [3, 2, 3], [1], [2, 1, 3]]),
  entry('expand', 1, [[2, 3], [2, -1], [3, -1, -1], [-1]]),
  list('concatenate', 2, axis),
  list('stack', 2, axis),
  entry('unsqueeze', 1, axis),
  entry('squeeze', 1, [undefined, ...axis]),
  entry('flatten', 1, [undefined, 0, 1], [undefined, -1, 1]),
  entry('flip', 1, axes),
  entry(
    'pad',
    1,
    [
      [[1, 0]],
      [
        [0, 1],
        [2, 0],
      ],
      [
        [0, 0],
        [0, 0],
        [1, 1],
      ],
    ],
    [undefined, { value: 2 }],
  ),
  entry('split', 1, [1, 2, [1, 1], [1, 2]], axis),
  entry('cumsum', 1, axis),
  entry('sort', 1, [undefined, { axis: 0 }, { descending: true }]),
  entry('topk', 1, [0, 1, 2], [undefined, { axis: 0 }, { largest: false }]),
  entry('argmax', 1, [undefined, ...axis.map((each) => ({ axis: each })), { axis: 0, keepDims: true }]),
  entry('argmin', 1, [undefined, ...axis.map((each) => ({ axis: each }))]),
  entry('tril', 1, [undefined, 0, 1, -1]),
  entry('triu', 1, [undefined, 0, 1, -1]),
  entry('cast', 1, ['f32', 'i32']),
  entry('oneHot', 1, [3, 4, 9]),
  entry('matmul', 2),
  equation(1),
  equation(2),
  entry('embedding', 2),
  ['gather', { tensors: 2, args: [axis], call: ([x, indices], [along]) => callOf('gather')([x], [along, indices]) }],
  [
    'indexSelect',
    { tensors: 2, args: [axis], call: ([x, indices], [along]) => callOf('indexSelect')([x], [along, indices]) },
  ],
  [
    'scatterAdd',
    {
      tensors: 3,
      args: [axis],
      call: ([x, indices, source], [along]) => callOf('scatterAdd')([x], [along, indices, source]),
    },
  ],
  entry('rmsNorm', 2, [undefined, { epsilon: 0.1 }]),
  entry('layerNorm', 2, [null], [undefined, { epsilon: 0.1 }]),
  entry('crossEntropy', 2, [undefined, { reduction: 'sum' }, { reduction: 'none' }, { labelSmoothing: 0.1 }]),
  entry('meanSquaredError', 2, [undefined, { reduction: 'sum' }]),
  entry('binaryCrossEntropy', 2, [undefined, { reduction: 'none' }]),
  entry('attention', 3, [
    undefined,
    { causal: true },
    { scale: 0.5 },
    { causal: true, window: 2 },
    { mask: Number.NaN },
  ]),
  entry('rotary', 1, [undefined]),
  entry('dropout', 1, [0, 0.5], [1, 7]),
  [
    'multinomial',
    {
      tensors: 1,
      args: [
        [1, 2, 5],
        [false, true],
      ],
      call: ([x], [count, replacement]) =>
        callOf('multinomial')([x], [count, { random: new library.Random(3), replacement }]),
    },
  ],
  [
    'linearCrossEntropy',
    {
      tensors: 1,
      isOnTensorsAlone: true,
      args: [[undefined, { reduction: 'sum' }, { labelSmoothing: 0.1 }, { chunkRows: 1 }]],
      call: ([x], [options]) => {
        const targets = library.zeros(x.shape.slice(0, -1), { device: x.device, dtype: 'i32' });
        return callOf('linearCrossEntropy')([x, x.transpose(), targets], [options]);
      },
    },
  ],
  creation('zeros', shapes),
  creation('ones', shapes),
  creation('full', shapes, [2, -0.5, Number.NaN]),
  creation('tensor', [
    1,
    [],
    [
      [1, 2],
      [3, 4],
    ],
    [[1], [2, 3]],
    'abc',
    Int32Array.of(1, 2),
  ]),
  creation('arange', [0, 3, -2, 2.5]),
  creation('eye', [0, 1, 3, -1]),
  creation('uniform', shapes),
  creation('normal', shapes),
];

/** The operations that programs draw from. */
export const operationNames: ReadonlySet<string> = new Set(entries.map(([name]) => name.split(' ')[0]));

/** A program: seeds for its draws. */
export const programs: fc.Arbitrary<readonly number[]> = fc.array(fc.nat({ max: 2 ** 30 }), {
  minLength: 48,
  maxLength: 48,
});

export interface Outcome {
  values: number;
  refused: number;
}

/** @throws Error that says what was computed, for values that differ and errors that are of no kind of the library's. */
export async function runProgram(seeds: readonly number[], device: Device, length = 5): Promise<Outcome> {
  const outcome: Outcome = { values: 0, refused: 0 };
  let at = 0;
  const draws: Draws = {
    number: (below) =>
      Math.floor(
        (((seeds[at++ % seeds.length] * (1 + Math.floor(at / seeds.length)) * 2654435761) % 2 ** 32) / 2 ** 32) * below,
      ),
  };
  const pool = Array.from({ length: 4 }, (_, i) => drawValue(draws, i === 3));
  for (let i = 0; i < length; i++) {
    const [name, { tensors, args, call, isOnTensorsAlone = false }] = entries[draws.number(entries.length)];
    const one = pool[draws.number(pool.length)];
    const chosen = Array.from({ length: tensors }, (_, j) =>
      j === 0 || draws.number(2) === 0 ? one : pool[draws.number(pool.length)],
    );
    const kinds = chosen.map(() => layouts[draws.number(layouts.length)]);
    const isHostile = draws.number(8) === 0;
    const given = args.map((each) => each[draws.number(each.length)]);
    if (isHostile) given[draws.number(given.length + 1)] = hostile[draws.number(hostile.length)];
    const stranger = { place: draws.number(tensors), value: hostile[draws.number(hostile.length)] };
    const isStrange = draws.number(16) === 0 && !isOnTensorsAlone;
    const tried = `${name}(${[...chosen.map(({ dtype, shape }, j) => `${dtype} [${shape}] ${kinds[j]}`), ...given.map(shown)].join(', ')})${
      isStrange ? ` with operand ${stranger.place} ${shown(stranger.value)}` : ''
    }`;
    const callStrange: Operation = (operands, rest) =>
      call(Reflect.apply(operands.with, operands, [stranger.place, stranger.value]), rest);
    const run = (where: Device) =>
      attempt({ call: isStrange ? callStrange : call, tried }, chosen, kinds, given, where);
    const [expected, actual] = [await run(reference), await run(device)];
    if (expected.error !== null || actual.error !== null) {
      // What is too large is so for each device in its own way.
      const isRoom = [expected, actual].every(
        ({ error }) => error instanceof library.OutOfMemoryError || error instanceof library.DeviceLimitError,
      );
      if (!isRoom && expected.error?.constructor !== actual.error?.constructor) {
        throw new Error(
          `${tried}: ${actual.error ?? 'values'} on ${device.kind}, but ${expected.error ?? 'values'} in f64`,
        );
      }
      outcome.refused++;
      continue;
    }
    compare(tried, expected.found, actual.found);
    outcome.values++;
    const [first] = actual.found;
    const isKept =
      first &&
      first.data.length <= 200 &&
      first.data.every((value) => !Number.isFinite(value) || Math.abs(value) < 1e3);
    if (isKept && (first.dtype === 'i32' || first.dtype === 'f32'))
      pool[draws.number(3)] = { shape: first.shape, dtype: first.dtype, data: first.data };
  }
  return outcome;
}

function shown(value: unknown): string {
  return typeof value === 'number' || value === undefined ? String(value) : JSON.stringify(value);
}

function drawValue(draws: Draws, isInteger: boolean): Value {
  const shape = Array.from(
    { length: draws.number(4) },
    () => [1, 2, 3, 3, 2, 0, 4][draws.number(draws.number(6) === 0 ? 7 : 5)],
  );
  const size = shape.reduce((product, extent) => product * extent, 1);
  const special = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0];
  const isSpecial = draws.number(5) === 0;
  const data = Array.from({ length: size }, () => {
    if (isInteger) return draws.number(3);
    return isSpecial && draws.number(4) === 0 ? special[draws.number(4)] : (draws.number(25) - 12) / 4;
  });
  return { shape, dtype: isInteger ? 'i32' : 'f32', data };
}

interface Found {
  shape: readonly number[];
  dtype: string;
  data: number[];
}

/** What an operation gives, and the gradients of its sum; or the error it throws. */
async function attempt(
  { call, tried }: { call: Operation; tried: string },
  values: readonly Value[],
  kinds: readonly Layout[],
  args: readonly unknown[],
  device: Device,
): Promise<{ found: Found[]; error: Error | null }> {
  try {
    return await step(async () => {
      const leaves = values.map((value, i) => {
        const leaf = baseOf(value, kinds[i], device);
        return value.dtype === 'i32' ? leaf : requireGradient(leaf);
      });
      const result = call(
        leaves.map((leaf, i) => inLayout(leaf, kinds[i])),
        args,
      );
      const results = Array.isArray(result) ? result : isSorted(result) ? [result.values, result.indices] : [result];
      const [first] = results;
      if (first?.node) backward(first, library.full(first.shape, 0.5, { device, dtype: first.dtype }));
      const gradients = leaves.map(gradientOf).filter((each) => each !== null);
      const found: Found[] = [];
      for (const each of [...results, ...gradients])
        found.push({ shape: each.shape, dtype: each.dtype, data: [...(await each.data())] });
      return { found, error: null };
    });
  } catch (error) {
    if (error instanceof FrostgradError && !(error instanceof library.DeviceError)) return { found: [], error };
    throw new Error(`${tried}: ${error}`, { cause: error });
  }
}

function isSorted(result: unknown): result is library.Sorted {
  return typeof result === 'object' && result !== null && 'indices' in result;
}

/** The tensor of which `inLayout` makes a view of the value. */
function baseOf({ shape, dtype, data }: Value, kind: Layout, device: Device): Tensor {
  const base = baseShape(shape, kind);
  const size = base.reduce((product, extent) => product * extent, 1);
  const values = new Float64Array(size);
  const walk = (i: number, index: readonly number[], source: number): void => {
    if (i === shape.length) {
      const place =
        kind === 'permuted' ? index.toReversed() : kind === 'sliced' ? index.map((each) => each + 1) : index;
      values[place.reduce((sum, each, j) => sum * base[j] + each, 0)] = data[source];
      return;
    }
    for (let j = 0; j < shape[i]; j++) walk(i + 1, [...index, j], source * shape[i] + j);
  };
  walk(0, [], 0);
  return tensor(values, { device, dtype: dtype === 'i32' ? 'i32' : device === reference ? 'f64' : 'f32', shape: base });
}

const largest = 3.4e38;

function compare(tried: string, expected: readonly Found[], actual: readonly Found[]): void {
  const differ = (what: string) => new Error(`${tried}: ${what}`);
  if (expected.length !== actual.length) throw differ(`${actual.length} results instead of ${expected.length}`);
  for (const [i, { shape, data }] of expected.entries()) {
    const got = actual[i];
    if (shape.join() !== got.shape.join()) throw differ(`result ${i} has shape [${got.shape}] instead of [${shape}]`);
    // Rounding in f32 is of the size of what was added up.
    const size = Math.max(1, ...data.filter(Number.isFinite).map(Math.abs));
    for (const [j, right] of data.entries()) {
      const value = got.data[j];
      const isOverflow = Math.abs(right) > largest && Math.abs(value) > 1e37;
      if (Object.is(value, right) || value === right || isOverflow || Math.abs(value - right) <= 2e-5 * size) continue;
      throw differ(`element ${j} of result ${i} is ${value} instead of ${right}`);
    }
  }
}
