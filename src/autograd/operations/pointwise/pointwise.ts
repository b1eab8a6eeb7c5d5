/**
 * The pointwise operations, one row each: the formula in WGSL, its reference, and the derivative for each operand with
 * the values it needs. Kernels, the `cpu` loops, gradients, methods of tensors, exports and tests follow from the row: an operation is
 * added by adding a row. Nothing else may be exported here.
 */
import { pointwise } from './row.ts';

const sigmoidOf = (x: number) => 1 / (1 + Math.exp(-x));
const geluScale = Math.sqrt(2 / Math.PI);
const geluInner = (x: number) => geluScale * (x + 0.044715 * x * x * x);

function errorFunction(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

export const add = pointwise('add', {
  wgsl: 'x + y',
  reference: (x, y) => x + y,
  simd: 'add',
  integers: { wgsl: 'x + y', reference: (x, y) => (x + y) | 0 },
  derivatives: ['identity', 'identity'],
});

export const sub = pointwise('sub', {
  wgsl: 'x - y',
  reference: (x, y) => x - y,
  simd: 'sub',
  integers: { wgsl: 'x - y', reference: (x, y) => (x - y) | 0 },
  derivatives: ['identity', { needs: [], wgsl: '-g', reference: (g) => -g, simd: 'neg' }],
});

export const mul = pointwise('mul', {
  wgsl: 'x * y',
  reference: (x, y) => x * y,
  simd: 'mul',
  integers: { wgsl: 'x * y', reference: (x, y) => Math.imul(x, y) },
  derivatives: [
    { needs: ['y'], wgsl: 'g * y', reference: (g, y) => g * y, simd: 'mul' },
    { needs: ['x'], wgsl: 'g * x', reference: (g, x) => g * x, simd: 'mul' },
  ],
});

export const div = pointwise('div', {
  wgsl: 'x / y',
  reference: (x, y) => x / y,
  simd: 'div',
  derivatives: [
    { needs: ['y'], wgsl: 'g / y', reference: (g, y) => g / y, simd: 'div' },
    {
      needs: ['y', 'result'],
      wgsl: '-g * result / y',
      reference: (g, y, result) => (-g * result) / y,
      simd: 'divGradient',
    },
  ],
  domain: ['any', 'nonzero'],
});

/** x^y as in IEEE 754, where 1 to whatever power is 1; JavaScript has NaN for some. */
const powerOf = (x: number, y: number) =>
  x === 1 || (x === -1 && Math.abs(y) === Number.POSITIVE_INFINITY) ? 1 : x ** y;

/**
 * x^y; a negative base takes whole exponents only (NaN otherwise). The derivative for y takes x > 0, and is 0 where x is 0 and y at
 * least 0.
 */
export const pow = pointwise('pow', {
  wgsl: 'power(x, y)',
  reference: (x, y) => powerOf(x, y),
  derivatives: [
    {
      needs: ['x', 'y'],
      wgsl: 'select(g * y * power(x, y - 1.0), 0.0, y == 0.0)',
      reference: (g, x, y) => (y === 0 ? 0 : g * y * powerOf(x, y - 1)),
    },
    {
      needs: ['x', 'result'],
      wgsl: 'select(g * result * log(x), 0.0, result == 0.0 || (x == 0.0 && result == 1.0))',
      reference: (g, x, result) => (result === 0 || (x === 0 && result === 1) ? 0 : g * result * Math.log(x)),
    },
  ],
  domain: ['positive', 'any'],
});

/** The larger of the two, NaN where either is; where they are equal, each gets half of the gradient. */
export const maximum = pointwise('maximum', {
  wgsl: 'select(select(y, x, x > y || isNaN(x)), y, isNaN(y))',
  reference: (x, y) => (x > y || Number.isNaN(x) ? x : y),
  simd: 'maximum',
  integers: { wgsl: 'max(x, y)', reference: (x, y) => Math.max(x, y) },
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
  domain: ['grid', 'off-grid'],
});

/** The smaller of the two, NaN where either is; where they are equal, each gets half of the gradient. */
export const minimum = pointwise('minimum', {
  wgsl: 'select(select(y, x, x < y || isNaN(x)), y, isNaN(y))',
  reference: (x, y) => (x < y || Number.isNaN(x) ? x : y),
  simd: 'minimum',
  integers: { wgsl: 'min(x, y)', reference: (x, y) => Math.min(x, y) },
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
  domain: ['grid', 'off-grid'],
});

export const neg = pointwise('neg', {
  wgsl: '-x',
  reference: (x) => -x,
  simd: 'neg',
  integers: { wgsl: '-x', reference: (x) => -x | 0 },
  derivatives: [{ needs: [], wgsl: '-g', reference: (g) => -g, simd: 'neg' }],
});

export const exp = pointwise('exp', {
  wgsl: 'exp(x)',
  reference: (x) => Math.exp(x),
  simd: 'exp',
  derivatives: [{ needs: ['result'], wgsl: 'g * result', reference: (g, result) => g * result, simd: 'mul' }],
});

export const log = pointwise('log', {
  wgsl: 'log(x)',
  reference: (x) => Math.log(x),
  derivatives: [{ needs: ['x'], wgsl: 'g / x', reference: (g, x) => g / x, simd: 'div' }],
  domain: ['positive'],
});

export const sqrt = pointwise('sqrt', {
  wgsl: 'sqrt(x)',
  reference: (x) => Math.sqrt(x),
  simd: 'sqrt',
  derivatives: [{ needs: ['result'], wgsl: '0.5 * g / result', reference: (g, result) => (0.5 * g) / result }],
  domain: ['positive'],
});

export const rsqrt = pointwise('rsqrt', {
  wgsl: 'inverseSqrt(x)',
  reference: (x) => 1 / Math.sqrt(x),
  derivatives: [
    {
      needs: ['result'],
      wgsl: '-0.5 * g * result * result * result',
      reference: (g, result) => -0.5 * g * result * result * result,
    },
  ],
  domain: ['positive'],
});

export const tanh = pointwise('tanh', {
  wgsl: 'boundedTanh(x)',
  reference: (x) => Math.tanh(x),
  simd: 'tanh',
  derivatives: [
    {
      needs: ['result'],
      wgsl: 'g * (1.0 - result * result)',
      reference: (g, result) => g * (1 - result * result),
      simd: 'tanhGradient',
    },
  ],
});

export const sigmoid = pointwise('sigmoid', {
  wgsl: '1.0 / (1.0 + exp(-x))',
  reference: (x) => sigmoidOf(x),
  simd: 'sigmoid',
  derivatives: [
    {
      needs: ['result'],
      wgsl: 'g * result * (1.0 - result)',
      reference: (g, result) => g * result * (1 - result),
      simd: 'sigmoidGradient',
    },
  ],
});

/** The larger of x and 0; NaN stays NaN. Where x is 0 it has no gradient. */
export const relu = pointwise('relu', {
  wgsl: 'select(0.0, x, x > 0.0 || isNaN(x))',
  reference: (x) => (x <= 0 ? 0 : x),
  simd: 'relu',
  integers: { wgsl: 'max(x, 0)', reference: (x) => Math.max(x, 0) },
  derivatives: [
    {
      needs: ['result'],
      wgsl: 'select(0.0, g, result > 0.0 || isNaN(result))',
      reference: (g, result) => (result <= 0 ? 0 : g),
      simd: 'reluGradient',
    },
  ],
  domain: ['off-grid'],
});

export const abs = pointwise('abs', {
  wgsl: 'abs(x)',
  reference: (x) => Math.abs(x),
  integers: { wgsl: 'abs(x)', reference: (x) => Math.abs(x) | 0 },
  derivatives: [{ needs: ['x'], wgsl: 'select(g * sign(x), x, isNaN(x))', reference: (g, x) => g * Math.sign(x) }],
  domain: ['nonzero'],
});

/** The sine of x in radians; in f32 on `webgpu` exact to 1e-6 where |x| is at most 10,000. */
export const sin = pointwise('sin', {
  wgsl: 'sineAfter(0, x)',
  reference: (x) => Math.sin(x),
  derivatives: [{ needs: ['x'], wgsl: 'g * sineAfter(1, x)', reference: (g, x) => g * Math.cos(x) }],
});

/** The cosine of x in radians; as exact as `sin`. */
export const cos = pointwise('cos', {
  wgsl: 'sineAfter(1, x)',
  reference: (x) => Math.cos(x),
  derivatives: [{ needs: ['x'], wgsl: '-g * sineAfter(0, x)', reference: (g, x) => -g * Math.sin(x) }],
});

/** log(1 + x), exact also near 0. */
export const log1p = pointwise('log1p', {
  wgsl: 'logOnePlus(x)',
  reference: (x) => Math.log1p(x),
  derivatives: [{ needs: ['x'], wgsl: 'g / (1.0 + x)', reference: (g, x) => g / (1 + x) }],
  domain: ['positive'],
});

/** The error function, 2 / √π · ∫ e^(-t²) dt from 0 to x. */
export const erf = pointwise('erf', {
  wgsl: 'errorFunction(x)',
  reference: (x) => errorFunction(x),
  derivatives: [
    {
      needs: ['x'],
      wgsl: 'g * 1.128379167 * exp(-x * x)',
      reference: (g, x) => ((g * 2) / Math.sqrt(Math.PI)) * Math.exp(-x * x),
    },
  ],
});

/** log(1 + eˣ), which overflows nowhere. */
export const softplus = pointwise('softplus', {
  wgsl: 'softplus(x)',
  reference: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  derivatives: [{ needs: ['x'], wgsl: 'g / (1.0 + exp(-x))', reference: (g, x) => g * sigmoidOf(x) }],
});

/** x where it is above 0, else x · y: y is the slope below 0 (PyTorch takes 0.01), and has a gradient too. */
export const leakyRelu = pointwise('leakyRelu', {
  wgsl: 'select(x * y, x, x > 0.0)',
  reference: (x, y) => (x > 0 ? x : x * y),
  derivatives: [
    { needs: ['x', 'y'], wgsl: 'select(g * y, g, x > 0.0)', reference: (g, x, y) => (x > 0 ? g : g * y) },
    { needs: ['x'], wgsl: 'select(g * x, 0.0, x > 0.0)', reference: (g, x) => (x > 0 ? 0 : g * x) },
  ],
  domain: ['off-grid', 'any'],
});

/**
 * x, but at least y and at most z, which must not be below y; NaN where one of them is. The gradient goes to the one of the three
 * that the result is, and to x where it equals a bound.
 */
export const clamp = pointwise('clamp', {
  wgsl: 'select(min(max(x, y), z), x + y + z, isNaN(x) || isNaN(y) || isNaN(z))',
  reference: (x, y, z) => Math.min(Math.max(x, y), z),
  integers: { wgsl: 'min(max(x, y), z)', reference: (x, y, z) => Math.min(Math.max(x, y), z) },
  derivatives: [
    {
      needs: ['x', 'result'],
      wgsl: 'select(0.0, g, x == result)',
      reference: (g, x, result) => (x === result ? g : 0),
    },
    { needs: ['x', 'result'], wgsl: 'select(0.0, g, x < result)', reference: (g, x, result) => (x < result ? g : 0) },
    { needs: ['x', 'result'], wgsl: 'select(0.0, g, x > result)', reference: (g, x, result) => (x > result ? g : 0) },
  ],
  domain: ['off-grid', 'negative', 'positive'],
});

/** x · Φ(x) by the tanh approximation (Hendrycks & Gimpel, arXiv 1606.08415). */
export const gelu = pointwise('gelu', {
  wgsl: '0.5 * x * (1.0 + boundedTanh(0.7978845608 * (x + 0.044715 * x * x * x)))',
  reference: (x) => 0.5 * x * (1 + Math.tanh(geluInner(x))),
  simd: 'gelu',
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
      simd: 'geluGradient',
    },
  ],
});

/** x · sigmoid(x). */
export const silu = pointwise('silu', {
  wgsl: 'x / (1.0 + exp(-x))',
  reference: (x) => x * sigmoidOf(x),
  simd: 'silu',
  derivatives: [
    {
      needs: ['x'],
      wgsl: 'g * (1.0 + x * (1.0 - 1.0 / (1.0 + exp(-x)))) / (1.0 + exp(-x))',
      reference: (g, x) => g * sigmoidOf(x) * (1 + x * (1 - sigmoidOf(x))),
      simd: 'siluGradient',
    },
  ],
});

/** silu(x) · y, the gate of SwiGLU (Shazeer, arXiv 2002.05202), in one pass. */
export const swiglu = pointwise('swiglu', {
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
});

/** y where x is not 0, else z. */
export const where = pointwise('where', {
  wgsl: 'select(z, y, x != 0.0 || isNaN(x))',
  reference: (x, y, z) => (x !== 0 ? y : z),
  simd: 'where',
  integers: { wgsl: 'select(z, y, x != 0)', reference: (x, y, z) => (x !== 0 ? y : z) },
  derivatives: [
    null,
    {
      needs: ['x'],
      wgsl: 'select(0.0, g, x != 0.0 || isNaN(x))',
      reference: (g, x) => (x !== 0 ? g : 0),
      simd: 'whereGradientY',
    },
    {
      needs: ['x'],
      wgsl: 'select(g, 0.0, x != 0.0 || isNaN(x))',
      reference: (g, x) => (x !== 0 ? 0 : g),
      simd: 'whereGradientZ',
    },
  ],
  domain: ['bit', 'any', 'any'],
});

export const equal = comparison('equal', 'x == y', (x, y) => x === y);
export const notEqual = comparison('notEqual', 'x != y', (x, y) => x !== y);
export const less = comparison('less', 'x < y', (x, y) => x < y);
export const lessEqual = comparison('lessEqual', 'x <= y', (x, y) => x <= y);
export const greater = comparison('greater', 'x > y', (x, y) => x > y);
export const greaterEqual = comparison('greaterEqual', 'x >= y', (x, y) => x >= y);

/** Comparisons give 1 and 0 in the dtype of their operands, and no gradient. */
function comparison(name: string, wgsl: string, holds: (x: number, y: number) => boolean) {
  return pointwise(name, {
    wgsl: `select(select(0.0, 1.0, ${wgsl}), ${holds(Number.NaN, Number.NaN) ? '1.0' : '0.0'}, isNaN(x) || isNaN(y))`,
    reference: (x, y) => (holds(x, y) ? 1 : 0),
    simd: name,
    integers: { wgsl: `select(0, 1, ${wgsl})`, reference: (x, y) => (holds(x, y) ? 1 : 0) },
    derivatives: [null, null],
  });
}
