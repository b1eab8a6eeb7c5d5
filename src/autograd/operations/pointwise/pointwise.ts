/**
 * The pointwise operations, one row each: the formula in WGSL, its reference, and the derivative for each operand with
 * the values it needs. Kernels, the `cpu` loops, gradients and the property tests derive from the row; an operation is
 * added by adding a row.
 */
import { computeDType, isFloat } from '../../../tensor/dtype.ts';
import { DTypeError } from '../../../tensor/errors.ts';
import { getOrCreate } from '../../../tensor/get-or-create.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import type { GradientRule } from '../../node.ts';
import { begin, beginView, record } from '../../record.ts';
import { constant } from '../constant.ts';
import { sumToShape } from '../reduction/reduce-axes.ts';
import { type Expression, pointwise, widestDType } from './expression.ts';

/** An operand may be a plain number. */
export type Operand = Tensor | number;

type Needed = 'x' | 'y' | 'z' | 'result';

/** ∂L/∂operand, from the gradient `g` of the result and the values named in `needs`; at most two of them. */
interface Derivative {
  needs: readonly Needed[];
  wgsl: string;
  reference(g: number, first: number, second: number): number;
  /** Its function in kernels/simd/pointwise.ts, where it has one. */
  simd?: string;
}

export interface PointwiseRow {
  wgsl: string;
  reference(x: number, y: number, z: number): number;
  simd?: string;
  /** One for each operand: a formula, `identity` where the gradient passes unchanged, null where there is none. */
  derivatives: readonly (Derivative | 'identity' | null)[];
}

const sigmoidOf = (x: number) => 1 / (1 + Math.exp(-x));
const geluScale = Math.sqrt(2 / Math.PI);
const geluInner = (x: number) => geluScale * (x + 0.044715 * x * x * x);

export const pointwiseTable = {
  add: {
    wgsl: 'x + y',
    reference: (x, y) => x + y,
    simd: 'add',
    derivatives: ['identity', 'identity'],
  },
  sub: {
    wgsl: 'x - y',
    reference: (x, y) => x - y,
    derivatives: ['identity', { needs: [], wgsl: '-g', reference: (g) => -g }],
  },
  mul: {
    wgsl: 'x * y',
    reference: (x, y) => x * y,
    derivatives: [
      { needs: ['y'], wgsl: 'g * y', reference: (g, y) => g * y },
      { needs: ['x'], wgsl: 'g * x', reference: (g, x) => g * x },
    ],
  },
  div: {
    wgsl: 'x / y',
    reference: (x, y) => x / y,
    derivatives: [
      { needs: ['y'], wgsl: 'g / y', reference: (g, y) => g / y },
      { needs: ['y', 'result'], wgsl: '-g * result / y', reference: (g, y, result) => (-g * result) / y },
    ],
  },
  /** x^y; a negative base takes whole exponents only (NaN otherwise). The derivative for y takes x > 0. */
  pow: {
    wgsl: 'power(x, y)',
    reference: (x, y) => x ** y,
    derivatives: [
      {
        needs: ['x', 'y'],
        wgsl: 'select(g * y * power(x, y - 1.0), 0.0, y == 0.0)',
        reference: (g, x, y) => (y === 0 ? 0 : g * y * x ** (y - 1)),
      },
      {
        needs: ['x', 'result'],
        wgsl: 'select(0.0, g * result * log(x), result != 0.0)',
        reference: (g, x, result) => (result === 0 ? 0 : g * result * Math.log(x)),
      },
    ],
  },
  /** The larger of the two; where they are equal, each gets half of the gradient. */
  maximum: {
    wgsl: 'select(y, x, x > y)',
    reference: (x, y) => (x > y ? x : y),
    derivatives: [
      {
        needs: ['x', 'y'],
        wgsl: 'g * select(select(0.0, 0.5, x == y), 1.0, x > y)',
        reference: (g, x, y) => g * (x > y ? 1 : x === y ? 0.5 : 0),
      },
      {
        needs: ['x', 'y'],
        wgsl: 'g * select(select(0.0, 0.5, x == y), 1.0, y > x)',
        reference: (g, x, y) => g * (y > x ? 1 : x === y ? 0.5 : 0),
      },
    ],
  },
  /** The smaller of the two; where they are equal, each gets half of the gradient. */
  minimum: {
    wgsl: 'select(y, x, x < y)',
    reference: (x, y) => (x < y ? x : y),
    derivatives: [
      {
        needs: ['x', 'y'],
        wgsl: 'g * select(select(0.0, 0.5, x == y), 1.0, x < y)',
        reference: (g, x, y) => g * (x < y ? 1 : x === y ? 0.5 : 0),
      },
      {
        needs: ['x', 'y'],
        wgsl: 'g * select(select(0.0, 0.5, x == y), 1.0, y < x)',
        reference: (g, x, y) => g * (y < x ? 1 : x === y ? 0.5 : 0),
      },
    ],
  },
  neg: {
    wgsl: '-x',
    reference: (x) => -x,
    derivatives: [{ needs: [], wgsl: '-g', reference: (g) => -g }],
  },
  exp: {
    wgsl: 'exp(x)',
    reference: (x) => Math.exp(x),
    derivatives: [{ needs: ['result'], wgsl: 'g * result', reference: (g, result) => g * result }],
  },
  log: {
    wgsl: 'log(x)',
    reference: (x) => Math.log(x),
    derivatives: [{ needs: ['x'], wgsl: 'g / x', reference: (g, x) => g / x }],
  },
  sqrt: {
    wgsl: 'sqrt(x)',
    reference: (x) => Math.sqrt(x),
    derivatives: [{ needs: ['result'], wgsl: '0.5 * g / result', reference: (g, result) => (0.5 * g) / result }],
  },
  rsqrt: {
    wgsl: 'inverseSqrt(x)',
    reference: (x) => 1 / Math.sqrt(x),
    derivatives: [
      {
        needs: ['result'],
        wgsl: '-0.5 * g * result * result * result',
        reference: (g, result) => -0.5 * g * result * result * result,
      },
    ],
  },
  tanh: {
    wgsl: 'boundedTanh(x)',
    reference: (x) => Math.tanh(x),
    derivatives: [
      {
        needs: ['result'],
        wgsl: 'g * (1.0 - result * result)',
        reference: (g, result) => g * (1 - result * result),
      },
    ],
  },
  sigmoid: {
    wgsl: '1.0 / (1.0 + exp(-x))',
    reference: (x) => sigmoidOf(x),
    derivatives: [
      {
        needs: ['result'],
        wgsl: 'g * result * (1.0 - result)',
        reference: (g, result) => g * result * (1 - result),
      },
    ],
  },
  relu: {
    wgsl: 'select(0.0, x, x > 0.0)',
    reference: (x) => (x > 0 ? x : 0),
    simd: 'relu',
    derivatives: [
      {
        needs: ['result'],
        wgsl: 'select(0.0, g, result > 0.0)',
        reference: (g, result) => (result > 0 ? g : 0),
        simd: 'reluGradient',
      },
    ],
  },
  /** x · Φ(x) by the tanh approximation (Hendrycks & Gimpel, arXiv 1606.08415). */
  gelu: {
    wgsl: '0.5 * x * (1.0 + boundedTanh(0.7978845608 * (x + 0.044715 * x * x * x)))',
    reference: (x) => 0.5 * x * (1 + Math.tanh(geluInner(x))),
    derivatives: [
      {
        needs: ['x'],
        wgsl: `g * (0.5 * (1.0 + boundedTanh(0.7978845608 * (x + 0.044715 * x * x * x)))
          + 0.5 * x * (1.0 - pow(abs(boundedTanh(0.7978845608 * (x + 0.044715 * x * x * x))), 2.0))
          * 0.7978845608 * (1.0 + 0.134145 * x * x))`,
        reference: (g, x) => {
          const t = Math.tanh(geluInner(x));
          return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * geluScale * (1 + 3 * 0.044715 * x * x));
        },
      },
    ],
  },
  /** x · sigmoid(x). */
  silu: {
    wgsl: 'x / (1.0 + exp(-x))',
    reference: (x) => x * sigmoidOf(x),
    derivatives: [
      {
        needs: ['x'],
        wgsl: 'g * (1.0 + x * (1.0 - 1.0 / (1.0 + exp(-x)))) / (1.0 + exp(-x))',
        reference: (g, x) => g * sigmoidOf(x) * (1 + x * (1 - sigmoidOf(x))),
      },
    ],
  },
  /** silu(x) · y, the gate of SwiGLU (Shazeer, arXiv 2002.05202), in one pass. */
  swiglu: {
    wgsl: 'y * x / (1.0 + exp(-x))',
    reference: (x, y) => y * x * sigmoidOf(x),
    simd: 'swiglu',
    derivatives: [
      {
        needs: ['x', 'y'],
        wgsl: 'g * y * (1.0 + x * (1.0 - 1.0 / (1.0 + exp(-x)))) / (1.0 + exp(-x))',
        reference: (g, x, y) => {
          const s = sigmoidOf(x);
          return g * y * s * (1 + x * (1 - s));
        },
        simd: 'swigluGradientX',
      },
      {
        needs: ['x'],
        wgsl: 'g * x / (1.0 + exp(-x))',
        reference: (g, x) => g * x * sigmoidOf(x),
        simd: 'swigluGradientY',
      },
    ],
  },
  /** y where x is not 0, else z. */
  where: {
    wgsl: 'select(z, y, x != 0.0)',
    reference: (x, y, z) => (x !== 0 ? y : z),
    derivatives: [
      null,
      { needs: ['x'], wgsl: 'select(0.0, g, x != 0.0)', reference: (g, x) => (x !== 0 ? g : 0) },
      { needs: ['x'], wgsl: 'select(g, 0.0, x != 0.0)', reference: (g, x) => (x !== 0 ? 0 : g) },
    ],
  },
  equal: comparison('x == y', (x, y) => x === y),
  notEqual: comparison('x != y', (x, y) => x !== y),
  less: comparison('x < y', (x, y) => x < y),
  lessEqual: comparison('x <= y', (x, y) => x <= y),
  greater: comparison('x > y', (x, y) => x > y),
  greaterEqual: comparison('x >= y', (x, y) => x >= y),
} as const satisfies Record<string, PointwiseRow>;

export type PointwiseName = keyof typeof pointwiseTable;

/** Comparisons give 1 and 0 in the dtype of their operands, and no gradient. */
function comparison(wgsl: string, holds: (x: number, y: number) => boolean): PointwiseRow {
  return {
    wgsl: `select(0.0, 1.0, ${wgsl})`,
    reference: (x, y) => (holds(x, y) ? 1 : 0),
    derivatives: [null, null],
  };
}

const operandNames = ['x', 'y', 'z'] as const;

/** The forward expression of a row and one for each derivative formula: what kernels are made from. */
interface RowExpressions {
  forward: Expression;
  derivatives: readonly (Expression | null)[];
}

const expressions = new Map<PointwiseName, RowExpressions>();

function expressionsOf(name: PointwiseName): RowExpressions {
  return getOrCreate(expressions, name, () => {
    const { derivatives, wgsl, reference, simd }: PointwiseRow = pointwiseTable[name];
    return {
      forward: { name, parameters: operandNames.slice(0, derivatives.length), wgsl, reference, simd },
      derivatives: derivatives.map((derivative, i) =>
        derivative === null || derivative === 'identity'
          ? null
          : { ...derivative, name: `${name}-gradient-${operandNames[i]}`, parameters: ['g', ...derivative.needs] },
      ),
    };
  });
}

/** Runs a row of the table over its operands and records their gradients. */
export function applyPointwise(name: PointwiseName, ...operands: readonly Operand[]): Tensor {
  const row: PointwiseRow = pointwiseTable[name];
  const tensors = asTensors(name, operands);
  begin(name, ...tensors);
  const { forward, derivatives } = expressionsOf(name);
  const dtype = widestDType(operands.filter((operand) => typeof operand !== 'number'));
  const result = pointwise(forward, tensors, dtype);
  const rules = row.derivatives.flatMap((derivative, i): GradientRule[] => {
    const input = tensors[i];
    if (derivative === null) return [];
    if (derivative === 'identity') return [{ input, gradient: (g) => sumToShape(g, input.shape) }];
    const expression = derivatives[i];
    const saves = derivative.needs.map((need) => (need === 'result' ? result : tensors[operandNames.indexOf(need)]));
    if (!expression) return [];
    return [{ input, saves, gradient: (g, saved) => sumToShape(pointwise(expression, [g, ...saved]), input.shape) }];
  });
  return record(name, result, rules);
}

/** Enters a ReLU into the graph that the kernel before it has already applied to its result, which it takes over. */
export function recordRelu(result: Tensor): Tensor {
  beginView('relu', result);
  const [derivative] = expressionsOf('relu').derivatives;
  const rectified = result.view({ shape: result.shape, strides: result.strides }, 'relu');
  if (derivative) {
    const gradient = (g: Tensor, [rectified]: readonly Tensor[]) => pointwise(derivative, [g, rectified]);
    record('relu', rectified, [{ input: result, saves: [rectified], gradient }]);
  }
  result.release('its ReLU took it over');
  return rectified;
}

/** Numbers become constants on the device of the first tensor, as precise as it is computed. */
function asTensors(name: string, operands: readonly Operand[]): Tensor[] {
  const model = operands.find((operand) => typeof operand !== 'number');
  if (model === undefined) throw new DTypeError(`${name}: at least one operand must be a tensor`);
  if (!isFloat(model.dtype))
    throw new DTypeError(`${name}: operands have dtype ${model.dtype} (allowed: f16, f32, f64)`);
  return operands.map((operand) =>
    typeof operand === 'number' ? constant(model.device, computeDType(model.dtype), operand) : operand,
  );
}

export const add = (x: Operand, y: Operand) => applyPointwise('add', x, y);
export const sub = (x: Operand, y: Operand) => applyPointwise('sub', x, y);
export const mul = (x: Operand, y: Operand) => applyPointwise('mul', x, y);
export const div = (x: Operand, y: Operand) => applyPointwise('div', x, y);
export const pow = (x: Operand, y: Operand) => applyPointwise('pow', x, y);
export const maximum = (x: Operand, y: Operand) => applyPointwise('maximum', x, y);
export const minimum = (x: Operand, y: Operand) => applyPointwise('minimum', x, y);
export const neg = (x: Tensor) => applyPointwise('neg', x);
export const exp = (x: Tensor) => applyPointwise('exp', x);
export const log = (x: Tensor) => applyPointwise('log', x);
export const sqrt = (x: Tensor) => applyPointwise('sqrt', x);
export const rsqrt = (x: Tensor) => applyPointwise('rsqrt', x);
export const tanh = (x: Tensor) => applyPointwise('tanh', x);
export const sigmoid = (x: Tensor) => applyPointwise('sigmoid', x);
export const relu = (x: Tensor) => applyPointwise('relu', x);
export const gelu = (x: Tensor) => applyPointwise('gelu', x);
export const silu = (x: Tensor) => applyPointwise('silu', x);
export const swiglu = (gate: Tensor, up: Tensor) => applyPointwise('swiglu', gate, up);
export const where = (condition: Tensor, x: Operand, y: Operand) => applyPointwise('where', condition, x, y);
export const equal = (x: Operand, y: Operand) => applyPointwise('equal', x, y);
export const notEqual = (x: Operand, y: Operand) => applyPointwise('notEqual', x, y);
export const less = (x: Operand, y: Operand) => applyPointwise('less', x, y);
export const lessEqual = (x: Operand, y: Operand) => applyPointwise('lessEqual', x, y);
export const greater = (x: Operand, y: Operand) => applyPointwise('greater', x, y);
export const greaterEqual = (x: Operand, y: Operand) => applyPointwise('greaterEqual', x, y);
