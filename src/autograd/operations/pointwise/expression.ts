/** Formulas computed element by element: the kernels that are made from one, and their dispatch. */

import { copyParts } from '../../../tensor/copy.ts';
import { dispatch } from '../../../tensor/dispatch.ts';
import { computeDType, type DType, type NumericArray } from '../../../tensor/dtype.ts';
import { getOrCreate } from '../../../tensor/get-or-create.ts';
import { elementParts, elementwise, flatWorkgroups, kernel, type SimdCall } from '../../../tensor/kernel.ts';
import { broadcastShapes, broadcastStrides, collapseAxes, sameShape, sizeOf } from '../../../tensor/shape.ts';
import { allocate, copy, dense, type Tensor } from '../../../tensor/tensor.ts';
import { isNaNFunction } from '../not-a-number.ts';

/** One formula in its two forms. `parameters` names the operands, in order, as the WGSL expression uses them. */
export interface Expression {
  name: string;
  parameters: readonly string[];
  wgsl: string;
  reference(x: number, y: number, z: number): number;
  /** Its function in kernels/simd/pointwise.ts. */
  simd?: string;
  /** Over i32, in i32. */
  isOnIntegers?: boolean;
}

const maxOperands = 3;

/** The kernels of each expression, made at first use. */
const compiled = new Map<Expression, ReturnType<typeof makeKernels>>();
/** And the one of each that is on integers. */
const compiledOnIntegers = new Map<Expression, ReturnType<typeof makeIntegerKernel>>();

function kernelsOf(expression: Expression): ReturnType<typeof makeKernels> {
  return getOrCreate(compiled, expression, () => makeKernels(expression));
}

/** WGSL that several expressions call; one may call those behind it. */
const helpers = {
  power: `
fn power(base: f32, exponent: f32) -> f32 {
  if (exponent == 0.0 || base == 1.0 || (base == -1.0 && abs(exponent) > 3.4e38)) { return 1.0; }
  if (isNaN(exponent)) { return exponent; }
  if (base == 0.0) {
    let isOdd = fract(exponent) == 0.0 && fract(exponent * 0.5) != 0.0;
    return select(select(abs(1.0 / base), 1.0 / base, isOdd), 0.0, exponent > 0.0);
  }
  let magnitude = pow(abs(base), exponent);
  if (base > 0.0) { return magnitude; }
  if (abs(exponent) > 3.4e38 || (abs(base) > 3.4e38 && fract(exponent) != 0.0)) { return magnitude; }
  if (fract(exponent) != 0.0) { return sqrt(base); }
  return select(magnitude, -magnitude, fract(exponent * 0.5) != 0.0);
}`,
  boundedTanh: `
fn boundedTanh(x: f32) -> f32 { return select(tanh(clamp(x, -15.0, 15.0)), x, isNaN(x)); }`,
  // Cephes: what is left of x after whole quarters of a turn, and polynomials. The builtins may be off by 5e-4.
  sineAfter: `
fn sineAfter(quarters: i32, x: f32) -> f32 {
  let whole = round(x * 0.636619772);
  let rest = ((x - whole * 1.5703125) - whole * 4.837512969970703e-4) - whole * 7.54978995e-8;
  let square = rest * rest;
  let sine = rest + rest * square * (-1.6666654611e-1 + square * (8.3321608736e-3 - square * 1.9515295891e-4));
  let cosine = 1.0 - 0.5 * square
    + square * square * (4.166664568e-2 + square * (-1.388731625e-3 + square * 2.443315712e-5));
  let quadrant = (i32(whole) + quarters) & 3;
  let value = select(sine, cosine, (quadrant & 1) == 1);
  return select(value, -value, quadrant >= 2);
}`,
  softplus: `
fn softplus(x: f32) -> f32 { return select(max(x, 0.0) + logOnePlus(exp(-abs(x))), x, isNaN(x)); }`,
  // Near 0 the series of 2 artanh(x / (2 + x)): 1 + x would round away what x holds.
  logOnePlus: `
fn logOnePlus(x: f32) -> f32 {
  let ratio = x / (2.0 + x);
  let square = ratio * ratio;
  let series = 2.0 + square * (2.0 / 3.0 + square * (2.0 / 5.0 + square * (2.0 / 7.0 + square * (2.0 / 9.0))));
  return select(log(1.0 + x), ratio * series, abs(x) < 0.3);
}`,
  // A series whose terms have one sign, so that none cancels another (Abramowitz & Stegun, 7.1.6).
  errorFunction: `
fn errorFunction(x: f32) -> f32 {
  if (isNaN(x)) { return x; }
  if (abs(x) > 4.0) { return sign(x); }
  var term = x;
  var sum = x;
  for (var n = 1; n < 64 && abs(term) > 1e-8 * abs(sum); n++) {
    term *= 2.0 * x * x / f32(2 * n + 1);
    sum += term;
  }
  return 1.128379167 * exp(-x * x) * sum;
}`,
  isNaN: isNaNFunction,
} as const;

/** The helpers that `wgsl` calls, and those which these call. */
function helpersOf(wgsl: string): string {
  return Object.entries(helpers).reduce(
    (needed, [name, text]) => (`${wgsl}${needed}`.includes(`${name}(`) ? `${needed}${text}\n` : needed),
    '',
  );
}

type DenseLoop = (
  arrays: Readonly<Record<'x' | 'y' | 'z' | 'result', NumericArray>>,
  scalars: Readonly<Record<'count' | 'xStep' | 'yStep' | 'zStep', number>>,
) => void;

/**
 * The plain loop over dense operands, as a function of its own for each expression: V8 then compiles the formula into the
 * loop. One loop for all expressions would call each through a pointer, at ten times the time an element.
 */
function denseLoop(name: string, reference: Expression['reference']): DenseLoop {
  const make = new Function(
    'reference',
    `return function ${name.replace(/\W/g, '_')}({ x, y, z, result }, { count, xStep, yStep, zStep }) {
      if (xStep === 1 && yStep === 1 && zStep === 1) {
        for (let i = 0; i < count; i++) result[i] = reference(x[i], y[i], z[i]);
      } else {
        for (let i = 0; i < count; i++) result[i] = reference(x[i * xStep], y[i * yStep], z[i * zStep]);
      }
    };`,
  );
  return make(reference);
}

const stridedScalars = {
  count: 'u32',
  size1: 'u32',
  size2: 'u32',
  size3: 'u32',
  xStride0: 'i32',
  xStride1: 'i32',
  xStride2: 'i32',
  xStride3: 'i32',
  yStride0: 'i32',
  yStride1: 'i32',
  yStride2: 'i32',
  yStride3: 'i32',
  xOffset: 'u32',
  yOffset: 'u32',
} as const;

type StridedCall = SimdCall<'x' | 'y' | 'result', keyof typeof stridedScalars>;

/** What is copied at a time, so that the copies stay in the caches. */
const stridedPiece = 2 ** 16;

/** Operands of other strides become dense first, a piece of the result at a time; then the dense formula. */
function runStridedOnVectors(simd: string, operandCount: number, call: StridedCall): boolean {
  const { scalars: s } = call;
  const sizes = [s.count / (s.size1 * s.size2 * s.size3), s.size1, s.size2, s.size3];
  // The axis that is cut, so that all behind it fits in a piece.
  let axis = 3;
  while (axis > 0 && sizeOf(sizes.slice(axis)) <= stridedPiece) axis--;
  const inner = sizeOf(sizes.slice(axis + 1));
  const taken = Math.max(1, Math.floor(stridedPiece / inner));
  const room = call.room(8 * Math.min(s.count, taken * inner));
  if (room === null) return false;
  const walks = [
    { address: call.address('x'), offset: s.xOffset, strides: [s.xStride0, s.xStride1, s.xStride2, s.xStride3] },
    { address: call.address('y'), offset: s.yOffset, strides: [s.yStride0, s.yStride1, s.yStride2, s.yStride3] },
  ].slice(0, operandCount);

  let done = 0;
  /** From the place `first` on: an index of each axis up to the one that is cut, of which `length` are taken. */
  const compute = (first: readonly number[], length: number): void => {
    const shape = [...first.slice(1).map(() => 1), length, ...sizes.slice(axis + 1)];
    const [, size1, size2, size3] = shape;
    const count = sizeOf(shape);
    const target = [size1 * size2 * size3, size2 * size3, size3, 1];
    const others: Record<string, number> = { count, result: call.address('result') + 4 * done };
    for (const [i, { address, offset, strides }] of walks.entries()) {
      const sourceOffset = first.reduce((sum, index, each) => sum + index * strides[each], offset);
      const isDense = strides.every((stride, each) => shape[each] === 1 || stride === target[each]);
      const destination = isDense ? address + 4 * sourceOffset : room + 4 * i * count;
      if (!isDense) {
        const { parts, shared } = copyParts({ count, size2, size3 });
        const [sourceStride0, sourceStride1, sourceStride2, sourceStride3] = strides;
        const [targetStride0, targetStride1, targetStride2, targetStride3] = target;
        const copied = {
          ...{ source: address, destination, size1, size2, size3, sourceOffset, targetOffset: 0 },
          ...{ sourceStride0, sourceStride1, sourceStride2, sourceStride3 },
          ...{ targetStride0, targetStride1, targetStride2, targetStride3 },
        };
        call.run('stridedCopy', { ...copied, ...parts }, shared);
      }
      others['xy'[i]] = destination;
      others[`${'xy'[i]}Step`] = 1;
    }
    const { partLength, shared } = elementParts(count);
    call.run(simd, { ...others, partLength }, shared);
    done += count;
  };
  const walk = (outer: readonly number[]): void => {
    if (outer.length < axis) for (let i = 0; i < sizes[outer.length]; i++) walk([...outer, i]);
    else {
      for (let first = 0; first < sizes[axis]; first += taken) {
        compute([...outer, first], Math.min(taken, sizes[axis] - first));
      }
    }
  };
  walk([]);
  return true;
}

function makeKernels({ name, parameters, wgsl, reference, simd }: Expression) {
  const padded = [...parameters, 'unused_y', 'unused_z'].slice(0, maxOperands);
  const signature = padded.map((parameter) => `${parameter}: f32`).join(', ');
  const functions = `${helpersOf(wgsl)}\nfn operation(${signature}) -> f32 { return ${wgsl}; }\n`;
  return {
    dense: kernel({
      name,
      operands: { x: 'read', y: 'read', z: 'read', result: 'write' },
      scalars: { count: 'u32', xStep: 'u32', yStep: 'u32', zStep: 'u32' },
      wgsl: { file: 'pointwise_dense', constants: elementwise.constants, functions },
      reference: denseLoop(name, reference),
      simd(call) {
        if (simd === undefined) return false;
        const { partLength, shared } = elementParts(call.scalars.count);
        return call.run(simd, { partLength }, shared);
      },
    }),
    strided: kernel({
      name: `${name}-strided`,
      operands: { x: 'strided', y: 'strided', result: 'write' },
      scalars: stridedScalars,
      wgsl: { file: 'pointwise_strided', functions },
      reference({ x, y, result }, s) {
        let index = 0;
        const size0 = s.count / (s.size1 * s.size2 * s.size3);
        for (let i = 0; i < size0; i++) {
          for (let j = 0; j < s.size1; j++) {
            for (let k = 0; k < s.size2; k++) {
              let xIndex = s.xOffset + i * s.xStride0 + j * s.xStride1 + k * s.xStride2;
              let yIndex = s.yOffset + i * s.yStride0 + j * s.yStride1 + k * s.yStride2;
              for (let l = 0; l < s.size3; l++, xIndex += s.xStride3, yIndex += s.yStride3) {
                result[index++] = reference(x[xIndex], y[yIndex], 0);
              }
            }
          }
        }
      },
      simd: (call) => simd !== undefined && runStridedOnVectors(simd, parameters.length, call),
    }),
  };
}

function makeIntegerKernel({ name, parameters, wgsl, reference }: Expression) {
  const padded = [...parameters, 'unused_y', 'unused_z'].slice(0, maxOperands);
  const signature = padded.map((parameter) => `${parameter}: i32`).join(', ');
  return kernel({
    name: `${name}-integers`,
    operands: { x: 'read', y: 'read', z: 'read', result: 'write' },
    scalars: { count: 'u32', xStep: 'u32', yStep: 'u32', zStep: 'u32' },
    wgsl: {
      file: 'pointwise_integers',
      constants: elementwise.constants,
      functions: `fn operation(${signature}) -> i32 { return ${wgsl}; }\n`,
    },
    reference: denseLoop(`${name}-integers`, reference),
  });
}

/**
 * Computes `expression` over one to three operands that broadcast to one shape. Knows nothing of gradients.
 *
 * @param dtype how the result is stored; f16 where all operands are, by default.
 */
export function evaluate(
  expression: Expression,
  operands: readonly Tensor[],
  dtype: DType = widestDType(operands),
): Tensor {
  const [first] = operands;
  const shape = broadcastShapes(expression.name, ...operands.map((operand) => operand.shape));
  const result = allocate(first.device, dtype, shape, expression.name);
  if (result.size === 0) return result;
  const fits = (operand: Tensor) => operand.size === 1 || (operand.isContiguous && sameShape(operand.shape, shape));
  if (operands.every(fits)) return runDense(expression, operands, result);
  const isStrided = operands.length < maxOperands && !expression.isOnIntegers;
  if (isStrided && runStrided(expression, operands, result)) return result;
  const stretched = operands.map((operand) => {
    if (fits(operand)) return operand;
    return copy(operand.view({ shape, strides: broadcastStrides(operand.shape, operand.strides, shape) }, 'broadcast'));
  });
  return runDense(expression, stretched, result);
}

/** f16 among f16 alone. */
export function widestDType(operands: readonly Tensor[]): DType {
  const [{ dtype }] = operands;
  return operands.every((operand) => operand.dtype === dtype) ? dtype : computeDType(dtype);
}

function runDense(expression: Expression, operands: readonly Tensor[], result: Tensor): Tensor {
  const [x, y = x, z = x] = operands.map(dense);
  const step = (operand: Tensor) => (operand.size === 1 ? 0 : 1);
  const kernel = expression.isOnIntegers
    ? getOrCreate(compiledOnIntegers, expression, () => makeIntegerKernel(expression))
    : kernelsOf(expression).dense;
  dispatch(kernel, {
    operands: { x, y, z, result },
    scalars: { count: result.size, xStep: step(x), yStep: step(y), zStep: step(z) },
    workgroups: flatWorkgroups(result.size, elementwise.elementsPerGroup),
    flops: result.size,
  });
  return result;
}

/** False where more than four axes are left after merging; nothing is computed then. */
function runStrided(expression: Expression, operands: readonly Tensor[], result: Tensor): boolean {
  const [x, y = x] = operands;
  const strides = [x, y].map((operand) => broadcastStrides(operand.shape, operand.strides, result.shape));
  const merged = collapseAxes(result.shape, strides);
  const missing = 4 - merged.shape.length;
  if (missing < 0) return false;
  const padding = new Array<number>(missing);
  const [, size1, size2, size3] = [...padding.fill(1), ...merged.shape];
  const [xStride0, xStride1, xStride2, xStride3] = [...padding.fill(0), ...merged.operands[0]];
  const [yStride0, yStride1, yStride2, yStride3] = [...padding.fill(0), ...merged.operands[1]];
  const sizes = { count: result.size, size1, size2, size3 };
  const walks = { xStride0, xStride1, xStride2, xStride3, yStride0, yStride1, yStride2, yStride3 };
  dispatch(kernelsOf(expression).strided, {
    operands: { x, y, result },
    scalars: { ...sizes, ...walks, xOffset: x.offset, yOffset: y.offset },
    workgroups: flatWorkgroups(sizeOf(result.shape), 64),
    flops: result.size,
  });
  return true;
}
