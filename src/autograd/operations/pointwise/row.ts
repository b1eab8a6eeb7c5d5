/** What a pointwise operation follows from: a row says its formula and its derivatives. */
import { checkInteger } from '../../../tensor/create.ts';
import { computeDType, isFloat } from '../../../tensor/dtype.ts';
import { ArgumentError, DTypeError } from '../../../tensor/errors.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import type { GradientRule } from '../../node.ts';
import { begin, beginView, checkTensors, record } from '../../record.ts';
import { constant } from '../constant.ts';
import { sumToShape } from '../reduction/reduce-axes.ts';
import { type Expression, evaluate, widestDType } from './expression.ts';

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

type OperandDerivative = Derivative | 'identity' | null;

/**
 * Numbers among which a row is smooth, for the tests of its gradient. `grid` and `off-grid` are multiples of 0.3 and the middles between
 * them, which come near neither each other nor (the middles) 0; `bit` is 0 or 1.
 */
export type Domain = 'any' | 'positive' | 'negative' | 'nonzero' | 'grid' | 'off-grid' | 'bit';

export interface PointwiseRow<Derivatives extends readonly OperandDerivative[] = readonly OperandDerivative[]> {
  wgsl: string;
  reference(x: number, y: number, z: number): number;
  simd?: string;
  /** The same over i32, where that is an operation on integers. What overflows wraps. */
  integers?: { wgsl: string; reference(x: number, y: number, z: number): number };
  /** One for each operand: a formula, `identity` where the gradient passes unchanged, null where there is none. */
  derivatives: Derivatives;
  /** One for each operand; any numbers by default. */
  domain?: readonly Domain[];
}

/** A row under its name, and what kernels are made from: its formula, and that of each derivative. */
export interface PointwiseOperation {
  readonly operation: string;
  readonly row: PointwiseRow;
  readonly forward: Expression;
  readonly onIntegers: Expression | null;
  readonly gradients: readonly ((Expression & Pick<Derivative, 'needs'>) | 'identity' | null)[];
}

type Unary = PointwiseOperation & ((x: Tensor) => Tensor);
type Binary = PointwiseOperation & ((x: Operand, y: Operand) => Tensor);
type Ternary = PointwiseOperation & ((x: Operand, y: Operand, z: Operand) => Tensor);

const operandNames = ['x', 'y', 'z'] as const;

/** The operation of a row: a function of as many operands as there are derivatives. */
export function pointwise(name: string, row: PointwiseRow<readonly [OperandDerivative]>): Unary;
export function pointwise(name: string, row: PointwiseRow<readonly [OperandDerivative, OperandDerivative]>): Binary;
export function pointwise(
  name: string,
  row: PointwiseRow<readonly [OperandDerivative, OperandDerivative, OperandDerivative]>,
): Ternary;
export function pointwise(
  name: string,
  row: PointwiseRow,
): PointwiseOperation & ((...operands: readonly Operand[]) => Tensor) {
  const { wgsl, reference, simd, integers = null } = row;
  const parameters = operandNames.slice(0, row.derivatives.length);
  const operation: PointwiseOperation = {
    operation: name,
    row,
    forward: { name, parameters, wgsl, reference, simd },
    onIntegers: integers && { name, parameters, ...integers, isOnIntegers: true },
    gradients: row.derivatives.map((derivative, i) =>
      derivative === null || derivative === 'identity'
        ? derivative
        : { ...derivative, name: `${name}-gradient-${operandNames[i]}`, parameters: ['g', ...derivative.needs] },
    ),
  };
  return Object.assign((...operands: readonly Operand[]) => applyPointwise(operation, operands), operation);
}

/**
 * Runs an operation over its operands and records their gradients. Of arguments beyond these only what `list.map(relu)` passes does
 * not count.
 */
export function applyPointwise(operation: PointwiseOperation, operands: readonly Operand[]): Tensor {
  const { operation: name, forward, gradients } = operation;
  const tensors = asTensors(operation, operands);
  const own = operands.slice(0, gradients.length);
  if (tensors.every(({ dtype }) => dtype === 'i32') && operation.onIntegers) {
    beginView(name, ...tensors);
    return evaluate(operation.onIntegers, tensors);
  }
  begin(name, ...tensors);
  const dtype = widestDType(own.filter((operand) => typeof operand !== 'number'));
  return recordPointwise(operation, evaluate(forward, tensors, dtype), tensors);
}

/** Enters `result`, which is already computed, into the graph. */
export function recordPointwise(
  { operation, forward, gradients }: PointwiseOperation,
  result: Tensor,
  inputs: readonly Tensor[],
): Tensor {
  const { dtype } = result;
  const rules = gradients.flatMap((formula, i): GradientRule[] => {
    const input = inputs[i];
    if (formula === null) return [];
    if (formula === 'identity') return [{ input, gradient: (g) => sumToShape(g, input.shape) }];
    const saves = formula.needs.map((need) => (need === 'result' ? result : inputs[operandNames.indexOf(need)]));
    const savesOperands = formula.needs.join() === forward.parameters.join();
    return [
      {
        input,
        saves,
        again: forward.simd && savesOperands ? (saved) => evaluate(forward, saved, dtype) : undefined,
        gradient: (g, saved) => sumToShape(evaluate(formula, [g, ...saved]), input.shape),
      },
    ];
  });
  return record(operation, result, rules);
}

/** Numbers become constants on the device of the first tensor, as precise as it is computed. */
function asTensors(
  { operation: name, gradients, onIntegers }: PointwiseOperation,
  operands: readonly Operand[],
): Tensor[] {
  const count = gradients.length;
  const isOption = (beyond: unknown) => typeof beyond === 'object' && beyond !== null && !Array.isArray(beyond);
  if (operands.length < count || operands.slice(count).some(isOption)) {
    throw new ArgumentError(`${name}: got ${operands.length} operands (allowed: ${count})`);
  }
  const own = operands.slice(0, count);
  const model = own.find((operand) => typeof operand !== 'number');
  if (model === undefined) throw new DTypeError(`${name}: at least one operand must be a tensor`);
  checkTensors(name, own, true);
  const isInteger = !isFloat(model.dtype);
  if (isInteger && !onIntegers) {
    throw new DTypeError(
      `${name}: operands have dtype ${model.dtype} (allowed: f16, f32, f64; cast(x, 'f32') makes numbers of integers)`,
    );
  }
  return own.map((operand) => {
    if (typeof operand !== 'number') return operand;
    if (isInteger) checkInteger(name, operand);
    return constant(model.device, computeDType(model.dtype), operand);
  });
}
