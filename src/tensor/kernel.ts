import type { PartedCall, SimdFunctions } from './cpu/linear-memory.ts';
import type { NumericArray } from './dtype.ts';
import { DeviceLimitError, DeviceMismatchError } from './errors.ts';
import type { Tensor } from './tensor.ts';

/**
 * How a kernel touches an operand:
 * - `read`: a dense tensor; element 0 of the binding is its first element.
 * - `strided`: a view of whatever strides; the whole storage is bound, and offset and strides come as scalars.
 * - `write`: a dense tensor, every element of which is written.
 * - `update`: a dense tensor that is read and written in place.
 */
export type Access = 'read' | 'strided' | 'write' | 'update';

export type ScalarType = 'u32' | 'i32' | 'f32';

/**
 * One computation in its two forms, side by side: the WGSL entry point that a GPU runs, and the plain loop that says
 * what it means. The loop is the `cpu` device, and the oracle the tests hold the WGSL against.
 */
export interface Kernel<Scalar extends string = string> {
  readonly name: string;
  /** One per binding, in binding order. */
  readonly operands: readonly Access[];
  /** Fields of the WGSL `struct Scalars`, in its order; at most 16. */
  readonly scalars: Readonly<Record<Scalar, ScalarType>>;
  readonly wgsl: WgslSource;
  reference(arrays: readonly NumericArray[], scalars: Readonly<Record<Scalar, number>>): void;
  /**
   * The same for f32 on the vector registers of a CPU. False where it does not cover these sizes, or lacks memory; nothing is
   * computed then, and the loop runs.
   */
  simd?(call: SimdCall<Scalar>): boolean;
}

/** A kernel's operands as places in linear memory. */
export interface SimdCall<Scalar extends string = string> {
  readonly functions: SimdFunctions;
  /** Of each operand's first element; of the whole storage for `strided` ones. */
  readonly addresses: readonly number[];
  /** Elements of each operand. */
  readonly sizes: readonly number[];
  readonly scalars: Readonly<Record<Scalar, number>>;
  /** Calls a function whose parts several threads may compute. False where it lacks memory; nothing is computed then. */
  inParts(call: PartedCall): boolean;
  /** The number at an address. */
  float(address: number): number;
  /** Writes zeros. */
  fill(address: number, bytes: number): void;
}

export interface WgslSource {
  /** File in `kernels/`, without `.wgsl`. */
  readonly file: string;
  /** Entry point; `main` unless the file holds several. */
  readonly entry?: string;
  /** Constants the host puts in front of the file: tile sizes and variants, as WGSL expressions. */
  readonly constants?: Readonly<Record<string, string>>;
  /** WGSL put behind the file: the function a template calls. */
  readonly functions?: string;
  /** Whether it uses subgroup operations; only for devices with a subgroup size. */
  readonly subgroups?: boolean;
}

/** Runs `kernel` on the device of its operands. Nothing runs where `workgroups` holds a zero. */
export function dispatch<Scalar extends string>(
  kernel: Kernel<Scalar>,
  call: {
    operands: readonly Tensor[];
    scalars: Readonly<Record<Scalar, number>>;
    workgroups: readonly [number, number, number];
    /** Floating-point operations of this call. */
    flops: number;
  },
): void {
  if (call.workgroups.includes(0)) return;
  const device = call.operands[0].device;
  for (const operand of call.operands) {
    operand.assertUsable(kernel.name);
    if (operand.device !== device) {
      throw new DeviceMismatchError(
        `${kernel.name}: operands live on ${device.kind} (${device.adapter}) and on ${operand.device.kind} ` +
          `(${operand.device.adapter}); all must be on one device`,
      );
    }
  }
  device.run({ kernel, ...call });
}

/**
 * How kernels over independent elements split their work: a thread takes ELEMENTS of them, a
 * workgroup apart, so that neighbouring threads touch neighbouring addresses. Several, because a software adapter pays
 * half a microsecond for every workgroup, whatever it computes. The loop over them has a bound that its compiler cannot
 * know: unrolled, it would be no faster and take up to seven times as long to compile.
 */
export const elementwise = {
  elementsPerGroup: 64 * 8,
  constants: { WORKGROUP_SIZE: '64u', ELEMENTS: '8u' },
} as const;

/** The type an elementwise kernel walks its arrays in, by the number of elements it holds. */
const valueTypes = {
  1: 'alias Value = f32;\nalias Bits = u32;\nfn sumOf(value: Value) -> f32 { return value; }\n',
  4: 'alias Value = vec4f;\nalias Bits = vec4u;\nfn sumOf(value: Value) -> f32 { return dot(value, Value(1.0)); }\n',
} as const;

/**
 * Two forms of an elementwise kernel with one text, which calls its elements `Value`: four at a time (WIDTH 4) where
 * their number is a multiple of four, else one by one. A software adapter pays for every read, whatever its width.
 *
 * @param functions WGSL put behind the file beside that type, in terms of it.
 * @returns the form for so many elements.
 */
export function byWidth<Scalar extends string>(
  kernel: Kernel<Scalar>,
  functions = '',
): (count: number) => Kernel<Scalar> {
  const form = (width: 1 | 4): Kernel<Scalar> => {
    const constants = { ...kernel.wgsl.constants, WIDTH: `${width}u` };
    return { ...kernel, wgsl: { ...kernel.wgsl, constants, functions: valueTypes[width] + functions } };
  };
  const [single, vector] = [form(1), form(4)];
  return (count) => (count % 4 === 0 ? vector : single);
}

const maxWorkgroups = 65535;

/** Workgroups for `count` independent elements: one row of groups, folded where the device's limit per axis ends. */
export function flatWorkgroups(count: number, elementsPerGroup: number): [number, number, number] {
  const groups = Math.ceil(count / elementsPerGroup);
  if (groups <= maxWorkgroups) return [groups, 1, 1];
  const rows = Math.ceil(groups / maxWorkgroups);
  if (rows > maxWorkgroups)
    throw new DeviceLimitError(`${count} elements need more workgroups than a dispatch can hold`);
  return [maxWorkgroups, rows, 1];
}
