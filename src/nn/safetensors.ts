/** Tensors in a file: the safetensors format. */
import { roundToBFloat16, widenBFloat16 } from '../tensor/bfloat16.ts';
import { type NumericArray, typedArray } from '../tensor/dtype.ts';
import { ArgumentError, FileFormatError } from '../tensor/errors.ts';
import { formatShape, sizeOf } from '../tensor/shape.ts';
import { checkStateDict, type StateDict } from './state-dict.ts';

/** Bits of an element by dtype, in the order of the format: a file holds the last of them first. */
const bitsPerElement = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** How elements are stored in a file. */
export type StoredDType = keyof typeof bitsPerElement;
const storedDTypes = Object.keys(bitsPerElement) as readonly string[];
const isStoredDType = (name: unknown): name is StoredDType => typeof name === 'string' && storedDTypes.includes(name);

/** One tensor of a file: its dtype there, its shape, and where its bytes lie behind the header. */
export interface StoredTensor {
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

/** What the header of a file says. */
export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The length of the header stands in front of it. */
export const headerLengthBytes = 8;
const largestHeader = 100_000_000;
const metadataKey = '__metadata__';
const space = 0x20;

const broken = (what: string) => new FileFormatError(`safetensors: ${what}`);

/**
 * The bytes of a state in the safetensors format, which other libraries read too: the length of the header (8 bytes, little
 * endian), the header (JSON: name → dtype, shape, place), then the values, little endian.
 *
 * @param metadata free text by name, in the header.
 * @throws ArgumentError for what is no state, or metadata that are no texts; ShapeError for values that do not fill their shape.
 */
export function writeSafetensors(state: StateDict, metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  checkStateDict('writeSafetensors', state);
  checkMetadata(metadata);
  const tensors = Object.entries(state).map(([name, { shape, data, dtype }]) => {
    const isNarrow = dtype === 'bf16';
    return {
      ...{ name, shape, dtype: isNarrow ? ('BF16' as const) : dtypeOf(data) },
      data: isNarrow ? roundToBFloat16(Float32Array.from(data)) : data,
    };
  });
  const { header, order } = layOut(tensors, metadata);
  const parts = order.map(({ data }) => data);
  const bytes = new Uint8Array(header.length + parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
  bytes.set(header);
  let to = header.length;
  for (const data of parts) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), to);
    to += data.byteLength;
  }
  return bytes;
}

function checkMetadata(metadata: unknown): void {
  const isPlain = typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata);
  const other = isPlain ? Object.entries(metadata).find(([, text]) => typeof text !== 'string') : null;
  if (isPlain && !other) return;
  const found = other ? `${other[0]} of the metadata is ${String(other[1])}` : `the metadata are ${String(metadata)}`;
  throw new ArgumentError(`writeSafetensors: ${found} (allowed: texts by name)`);
}

/** A tensor that is to be written. */
export interface TensorToStore {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
}

/**
 * The header of a file, its length in front, and the order in which the values follow it: the widest dtypes first, which
 * keeps all of them aligned, then by name.
 *
 * @throws FileFormatError for the one name that the format keeps to itself.
 */
export function layOut<T extends TensorToStore>(
  tensors: readonly T[],
  metadata: Readonly<Record<string, string>> = {},
): { header: Uint8Array; order: T[] } {
  if (tensors.some(({ name }) => name === metadataKey)) throw broken(`no tensor can be called ${metadataKey}`);
  const rank = ({ dtype }: T) => storedDTypes.indexOf(dtype);
  const order = tensors.toSorted((a, b) => rank(b) - rank(a) || compareAsUtf8(a.name, b.name));
  let end = 0;
  const entries = order.map(({ name, dtype, shape }): [string, unknown] => {
    const start = end;
    end += (sizeOf(shape) * bitsPerElement[dtype]) / 8;
    return [name, { dtype, shape, data_offsets: [start, end] }];
  });
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries([[metadataKey, metadata], ...entries])));
  // Values begin at a multiple of eight, so that they can be read where they lie.
  const header = new Uint8Array(headerLengthBytes * Math.ceil(1 + text.length / headerLengthBytes)).fill(space);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - headerLengthBytes), true);
  header.set(text, headerLengthBytes);
  return { header, order };
}

/** By their bytes in UTF-8, which is the order of their code points. */
function compareAsUtf8(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => Array.from(text, (character) => character.codePointAt(0) ?? 0));
  const at = left.findIndex((each, i) => each !== right[i]);
  return at < 0 ? left.length - right.length : left[at] - (right[at] ?? -1);
}

/**
 * Reads what `writeSafetensors`, or another library, wrote. 16-bit floats become f32 and small integers i32, exactly.
 *
 * @throws FileFormatError that says what is wrong: a length, a dtype, a place beyond the end; ArgumentError for what are no bytes.
 */
export function readSafetensors(bytes: Uint8Array): { state: StateDict; metadata: Record<string, string> } {
  if (!(bytes instanceof Uint8Array)) {
    throw new ArgumentError(
      `readSafetensors: the bytes are ${typeof bytes} (allowed: a Uint8Array, such as readFileSync gives)`,
    );
  }
  const start = headerLengthBytes + headerLengthOf(bytes, bytes.length);
  const header = parseHeader(bytes.subarray(headerLengthBytes, start), bytes.length - start);
  const entries = [...header.tensors].map(([name, stored]): [string, StateDict[string]] => {
    const data = decodeTensor(name, stored, bytes.subarray(start + stored.start, start + stored.end));
    return [name, { shape: stored.shape, data, ...(stored.dtype === 'BF16' ? { dtype: 'bf16' } : {}) }];
  });
  return { state: Object.fromEntries(entries), metadata: { ...header.metadata } };
}

/** The length of the header, in bytes, from the first bytes of a file of `fileBytes`. @throws FileFormatError */
export function headerLengthOf(firstBytes: Uint8Array, fileBytes: number): number {
  if (firstBytes.length < headerLengthBytes) throw broken(`${firstBytes.length} bytes are too few for a header`);
  const length = Number(new DataView(firstBytes.buffer, firstBytes.byteOffset).getBigUint64(0, true));
  if (length > largestHeader) {
    throw broken(`the header is to have ${length} bytes (allowed: at most ${largestHeader})`);
  }
  if (headerLengthBytes + length > fileBytes) {
    throw broken(`the header is to have ${length} bytes, the file has ${fileBytes}`);
  }
  return length;
}

/**
 * What a header says, with everything in it checked: the tensors lie one after the other without a hole or an overlap, each
 * has as many bytes as its shape needs, and together they fill the file.
 *
 * @param valueBytes bytes of the file behind the header.
 * @throws FileFormatError that names the tensor.
 */
export function parseHeader(text: Uint8Array, valueBytes: number): SafetensorsHeader {
  const json = parseJson(text);
  const tensors = new Map<string, StoredTensor>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(json)) {
    if (name === metadataKey) metadata = readMetadata(value);
    else tensors.set(name, readEntry(name, value));
  }
  let end = 0;
  const inOrder = [...tensors].toSorted(([, a], [, b]) => a.start - b.start || a.end - b.end);
  for (const [name, { dtype, shape, start, end: ownEnd }] of inOrder) {
    const bits = shape.reduce((product, extent) => product * BigInt(extent), BigInt(bitsPerElement[dtype]));
    if (start !== end || bits !== 8n * BigInt(ownEnd - start) || ownEnd > valueBytes) {
      throw broken(
        `${name} of shape ${formatShape(shape)} and dtype ${dtype} is to stand at ${start} … ${ownEnd} of ` +
          `${valueBytes} bytes, of which ${end} are taken`,
      );
    }
    end = ownEnd;
  }
  if (end !== valueBytes) throw broken(`the tensors take ${end} bytes, and ${valueBytes} follow the header`);
  return { tensors, metadata };
}

/**
 * The values of a tensor from its bytes: f32 for F32, BF16 and F16, f64 for F64, i32 for integers and BOOL (0 and 1). Nothing is
 * rounded. The array is a copy.
 *
 * @throws FileFormatError for a dtype that has no exact form here, or an integer beyond 32 bits.
 */
export function decodeTensor(name: string, { dtype, shape }: StoredTensor, bytes: Uint8Array): NumericArray {
  const count = sizeOf(shape);
  // A copy of its own, which is aligned whatever the header came to. (A Buffer's slice would be no copy.)
  const { buffer } = new Uint8Array(bytes);
  switch (dtype) {
    case 'F32':
      return typedArray('f32', count, buffer);
    case 'F64':
      return typedArray('f64', count, buffer);
    case 'I32':
      return typedArray('i32', count, buffer);
    case 'BF16':
      return widenBFloat16(new Uint16Array(buffer));
    case 'F16':
      return widenFloat16(new Uint16Array(buffer));
    case 'I16':
      return Int32Array.from(new Int16Array(buffer));
    case 'U16':
      return Int32Array.from(new Uint16Array(buffer));
    case 'I8':
      return Int32Array.from(new Int8Array(buffer));
    case 'U8':
    case 'BOOL':
      return Int32Array.from(new Uint8Array(buffer));
    case 'U32':
    case 'I64':
    case 'U64': {
      const wide = { U32: Uint32Array, I64: BigInt64Array, U64: BigUint64Array }[dtype];
      return Int32Array.from(new wide(buffer), (value: number | bigint) => {
        if (value === BigInt(Number(value) | 0) || value === (Number(value) | 0)) return Number(value);
        throw broken(`${name} of dtype ${dtype} holds ${value} (allowed: what 32 bits can hold)`);
      });
    }
    default:
      throw broken(
        `${name} has dtype ${dtype} (allowed: BOOL, U8, I8, U16, I16, F16, BF16, U32, I32, F32, F64, I64, U64)`,
      );
  }
}

/** Sign, 5 bits of exponent from 2^-14 on, 10 bits of fraction: Node 20 has no array of them. */
function widenFloat16(values: Uint16Array): Float32Array {
  return Float32Array.from(values, (bits) => {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >>> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
  });
}

function dtypeOf(data: NumericArray): StoredDType {
  if (data instanceof Float32Array) return 'F32';
  return data instanceof Float64Array ? 'F64' : 'I32';
}

function parseJson(bytes: Uint8Array): object {
  let json: unknown = null;
  let text = '';
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    json = JSON.parse(text);
  } catch {
    // It is none: see below.
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw broken('the header is not the JSON of an object');
  }
  // JSON.parse keeps the last of two entries of one name; two places of one tensor show in the holes they leave.
  if ((text.match(/"__metadata__"\s*:/g) ?? []).length > 1) throw broken(`the header has ${metadataKey} twice`);
  return json;
}

function readMetadata(value: unknown): Record<string, string> {
  const entries = Object.entries(value ?? {});
  const other = entries.find(([, text]) => typeof text !== 'string');
  if (typeof value === 'object' && !Array.isArray(value) && !other) return Object.fromEntries(entries);
  // Not what it is: that may be as deep as the header is long.
  throw broken(`${metadataKey} ${other ? `has no text at ${other[0]}` : 'is no object'} (allowed: texts by name)`);
}

function readEntry(name: string, value: unknown): StoredTensor {
  if (typeof value === 'object' && value !== null && 'dtype' in value && 'shape' in value && 'data_offsets' in value) {
    const { dtype } = value;
    const [shape, place] = [value.shape, value.data_offsets].map(wholeNumbers);
    if (isStoredDType(dtype) && shape && place?.length === 2) return { dtype, shape, start: place[0], end: place[1] };
  }
  throw broken(`the entry ${name} has no dtype (${storedDTypes.join(', ')}), shape and data_offsets`);
}

function wholeNumbers(value: unknown): number[] | null {
  if (!Array.isArray(value)) return null;
  const numbers = value.filter((each): each is number => Number.isSafeInteger(each) && each >= 0);
  return numbers.length === value.length ? numbers : null;
}
