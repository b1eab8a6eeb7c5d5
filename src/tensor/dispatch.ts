/** How a kernel is run: its operands and scalars come by name, and are checked before anything is computed. */
import { checkSameDevice, type KernelOperand } from './device.ts';
import { KernelError } from './errors.ts';
import type { Kernel, ScalarType } from './kernel.ts';

/**
 * Runs `kernel` on the device of its operands. Nothing runs where `workgroups` holds a zero.
 *
 * @throws KernelError for an operand or a scalar that is missing, unknown or of another type; DeviceMismatchError.
 */
export function dispatch<Operand extends string, Scalar extends string>(
  kernel: Kernel<Operand, Scalar>,
  call: {
    operands: Readonly<Record<NoInfer<Operand>, KernelOperand>>;
    scalars: Readonly<Record<NoInfer<Scalar>, number>>;
    workgroups: readonly [number, number, number];
    /** Floating-point operations of this call. */
    flops: number;
  },
): void {
  if (call.workgroups.includes(0)) return;
  const operands = operandsOf(kernel, call.operands);
  checkScalars(kernel, call.scalars);
  const { scalars, workgroups, flops } = call;
  operands[0].device.run({ kernel, operands, scalars, workgroups, flops });
}

/** In binding order. */
function operandsOf(kernel: Kernel, given: Readonly<Record<string, KernelOperand | undefined>>): KernelOperand[] {
  const operands: KernelOperand[] = [];
  for (const name of kernel.operandNames) {
    const operand = given[name];
    if (operand === undefined) throw otherNames(kernel.name, 'operands', given, kernel.operandNames);
    operand.assertUsable(kernel.name);
    if (operand.dtype === 'bf16' && !kernel.widens?.[name]) {
      throw new KernelError(`${kernel.name}: operand ${name} is stored in bf16, which this kernel does not read`);
    }
    operands.push(operand);
  }
  checkSameDevice(kernel.name, operands);
  if (countOf(given) > operands.length) throw otherNames(kernel.name, 'operands', given, kernel.operandNames);
  return operands;
}

const allowed: Readonly<Record<ScalarType, string>> = {
  u32: 'whole numbers from 0 to 4294967295',
  i32: 'whole numbers of 32 bits',
  f32: 'numbers',
};

/** An f32 may be NaN or infinite: a tensor can be filled with that. */
function isOf(type: ScalarType, value: unknown): boolean {
  if (typeof value !== 'number') return false;
  return type === 'f32' || (type === 'u32' ? value >>> 0 : value | 0) === value;
}

function countOf(given: object): number {
  let count = 0;
  for (const _ in given) count++;
  return count;
}

function checkScalars(kernel: Kernel, given: Readonly<Record<string, number | undefined>>): void {
  const { scalarNames, scalarTypes } = kernel;
  for (let i = 0; i < scalarNames.length; i++) {
    const value = given[scalarNames[i]];
    if (isOf(scalarTypes[i], value)) continue;
    if (value === undefined) throw otherNames(kernel.name, 'scalars', given, scalarNames);
    throw new KernelError(`${kernel.name}: scalar ${scalarNames[i]} is ${value} (allowed: ${allowed[scalarTypes[i]]})`);
  }
  if (countOf(given) > scalarNames.length) throw otherNames(kernel.name, 'scalars', given, scalarNames);
}

function otherNames(kernel: string, what: string, given: object, takes: readonly string[]): KernelError {
  const names = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  return new KernelError(`${kernel}: got the ${what} ${names.join(', ')} (takes: ${takes.join(', ')})`);
}
