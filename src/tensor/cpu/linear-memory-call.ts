/** What a kernel's `simd` form works with: its operands as places in linear memory, and the functions of kernels/simd/. */
import type { KernelCall } from '../device.ts';
import { bytesPerElement } from '../dtype.ts';
import { KernelError } from '../errors.ts';
import type { SharedWork, SimdCall } from '../kernel.ts';
import type { LinearMemory } from './linear-memory.ts';

const unshared: SharedWork = { parts: 1, scratchBytes: 0 };
const noOthers: Readonly<Record<string, number>> = {};

/** A class, because a closure for each of these methods would cost more than the call of a small kernel. */
export class LinearMemoryCall implements SimdCall {
  readonly #memory: LinearMemory;
  readonly #call: KernelCall;
  /** In binding order. */
  readonly #addresses: readonly number[];
  readonly #threads: number;

  constructor(memory: LinearMemory, call: KernelCall, addresses: readonly number[], threads: number) {
    this.#memory = memory;
    this.#call = call;
    this.#addresses = addresses;
    this.#threads = threads;
  }

  get scalars(): KernelCall['scalars'] {
    return this.#call.scalars;
  }

  address(operand: string): number {
    return this.#addresses[this.#call.kernel.operandNames.indexOf(operand)];
  }

  size(operand: string): number {
    return this.#call.operands[this.#call.kernel.operandNames.indexOf(operand)].size;
  }

  bytes(operand: string): number {
    return bytesPerElement[this.#call.operands[this.#call.kernel.operandNames.indexOf(operand)].dtype];
  }

  run(name: string, others = noOthers, shared = unshared): boolean {
    const { kernel, scalars, flops } = this.#call;
    const simdFunction = this.#memory.find(name);
    const values: number[] = [];
    for (const parameter of simdFunction.parameters) {
      const value = others[parameter] ?? this.address(parameter) ?? scalars[parameter];
      if (value !== undefined) values.push(value);
      else throw new KernelError(`${kernel.name}: the function ${name} takes ${parameter}, and nothing is called so`);
    }
    for (const other in others) {
      if (simdFunction.parameters.includes(other)) continue;
      throw new KernelError(`${kernel.name}: the function ${name} does not take ${other}`);
    }
    return this.#memory.call(simdFunction, values, shared, flops, this.#threads);
  }

  room(bytes: number): number | null {
    return this.#memory.scratch(bytes);
  }

  fill(address: number, bytes: number): void {
    new Uint8Array(this.#memory.buffer, address, bytes).fill(0);
  }
}
