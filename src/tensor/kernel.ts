/** Kernels: how one is declared, and how it splits its work. */
import type { NumericArray } from './dtype.ts';
import { DeviceLimitError, KernelError } from './errors.ts';

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
 * what it means. The loop is the `cpu` device, and the oracle the tests hold the WGSL against. Every form calls operands and
 * scalars by the names that stand here.
 */
export interface KernelDeclaration<Operand extends string, Scalar extends string> {
  readonly name: string;
  /** In binding order: the variables of the WGSL file. */
  readonly operands: Readonly<Record<Operand, Access>>;
  /** Fields of `scalars` in WGSL, at most 16. The host writes the struct. */
  readonly scalars: Readonly<Record<Scalar, ScalarType>>;
  readonly wgsl: WgslSource;
  /**
   * Operands that may be stored in bf16, because every form widens what it reads of them. The WGSL file binds operand `name` at N as
   * `array<StoredN>` and reads it with `loadName(i)`: so many elements at a time.
   */
  readonly widens?: Readonly<Partial<Record<Operand, 1 | 4>>>;
  /** Operands where it may leave infinite values for whoever knows what they mean; no fault to FROSTGRAD_DEBUG=1. */
  readonly overflows?: readonly NoInfer<Operand>[];
  /** Sees f32 where operands are stored in 16 bits. */
  reference(arrays: Readonly<Record<Operand, NumericArray>>, scalars: Readonly<Record<Scalar, number>>): void;
  /**
   * The same for f32 on the vector registers of a CPU. False where it does not cover these sizes, or lacks memory; nothing is
   * computed then, and the loop runs.
   */
  simd?(call: SimdCall<Operand, Scalar>): boolean;
}

/** A declaration and, because they are walked in every dispatch, its tables as lists. */
export interface Kernel<Operand extends string = string, Scalar extends string = string>
  extends KernelDeclaration<Operand, Scalar> {
  readonly operandNames: readonly Operand[];
  readonly accesses: readonly Access[];
  readonly scalarNames: readonly Scalar[];
  readonly scalarTypes: readonly ScalarType[];
}

/** A kernel's operands as places in linear memory. */
export interface SimdCall<Operand extends string = string, Scalar extends string = string> {
  readonly scalars: Readonly<Record<Scalar, number>>;
  /** Place of an operand's first element; of the whole storage for a `strided` one. */
  address(operand: Operand): number;
  /** Elements of an operand. */
  size(operand: Operand): number;
  /** Bytes of one of them. */
  bytes(operand: Operand): number;
  /**
   * Calls a function of kernels/simd/. Its parameters are filled by their names: from `others`, else with the address of an
   * operand or with a scalar. False where it lacks memory; nothing is computed then.
   *
   * @param shared for functions whose work several threads can share.
   */
  run(name: string, others?: Readonly<Record<string, number>>, shared?: SharedWork): boolean;
  /** Room for intermediate values, which the next call of this may hand out again; null where there is none. */
  room(bytes: number): number | null;
  /** Writes zeros. */
  fill(address: number, bytes: number): void;
}

export interface SharedWork {
  /** In how many parts the work is divided, none of which depends on another. */
  parts: number;
  /** Room for intermediate values that each thread needs. */
  scratchBytes: number;
  /** What tells whether to share is worth the while; by default the floating-point operations of the call. */
  operations?: number;
}

/** What an element takes at least, to be read and written, in floating-point operations of a product. */
const operationsOfElement = 8;

/** Work on independent elements, in parts of which the caches hold a few. */
export function elementParts(count: number): { partLength: number; shared: SharedWork } {
  const partLength = 16384;
  return {
    partLength,
    shared: { parts: Math.ceil(count / partLength), scratchBytes: 0, operations: operationsOfElement * count },
  };
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

const mostScalars = 16;

/** @throws KernelError for more than 16 scalars, or one that is called as an operand is. */
export function kernel<Operand extends string, Scalar extends string>(
  declaration: KernelDeclaration<Operand, Scalar>,
): Kernel<Operand, Scalar> {
  const { name, operands, scalars } = declaration;
  const scalarNames = namesOf(scalars);
  if (scalarNames.length > mostScalars) throw new KernelError(`${name}: has more than ${mostScalars} scalars`);
  const twice = scalarNames.find((each) => each in operands);
  if (twice) throw new KernelError(`${name}: '${twice}' is an operand and a scalar`);
  return {
    ...declaration,
    operandNames: namesOf(operands),
    accesses: Object.values(operands),
    scalarNames,
    scalarTypes: Object.values(scalars),
  };
}

function namesOf<Name extends string>(table: Readonly<Record<Name, unknown>>): Name[] {
  const names: Name[] = [];
  for (const name in table) names.push(name);
  return names;
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
 * @returns the form for so many elements.
 */
export function byWidth<Operand extends string, Scalar extends string>(
  declaration: KernelDeclaration<Operand, Scalar>,
): (count: number) => Kernel<Operand, Scalar> {
  const form = (width: 1 | 4): Kernel<Operand, Scalar> => {
    const { wgsl } = declaration;
    const constants = { ...wgsl.constants, WIDTH: `${width}u` };
    return kernel({
      ...declaration,
      wgsl: { ...wgsl, constants, functions: `${valueTypes[width]}${wgsl.functions ?? ''}` },
    });
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
