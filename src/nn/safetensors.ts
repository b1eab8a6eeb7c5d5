/** Tensors in a file: the safetensors format. */
import { bytesPerElement, type NumericArray, typedArray } from '../tensor/dtype.ts';
import { FileFormatError } from '../tensor/errors.ts';
import { sizeOf } from '../tensor/shape.ts';
import type { StateDict } from './module.ts';

const names = { F32: 'f32', F64: 'f64', I32: 'i32' } as const;
type Name = keyof typeof names;

const headerLengthBytes = 8;

/**
 * The bytes of a state in the safetensors format, which other libraries read too: the length of the header (8 bytes, little
 * endian), the header (JSON: name → dtype, shape, place), then the values, little endian.
 *
 * @param metadata free text by name, in the header.
 */
export function writeSafetensors(state: StateDict, metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let end = 0;
  for (const [name, { shape, data }] of Object.entries(state)) {
    const start = end;
    end += data.byteLength;
    header[name] = { dtype: nameOf(data), shape, data_offsets: [start, end] };
  }
  let text = JSON.stringify(header);
  // Values begin at a multiple of eight, so that they can be read where they lie.
  text += ' '.repeat((headerLengthBytes - (Buffer.byteLength(text) % headerLengthBytes)) % headerLengthBytes);
  const encoded = Buffer.from(text);
  const bytes = new Uint8Array(headerLengthBytes + encoded.length + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(encoded.length), true);
  bytes.set(encoded, headerLengthBytes);
  let to = headerLengthBytes + encoded.length;
  for (const { data } of Object.values(state)) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), to);
    to += data.byteLength;
  }
  return bytes;
}

/**
 * Reads what `writeSafetensors`, or another library, wrote.
 *
 * @throws FileFormatError that says what is wrong: a length, a dtype, a place beyond the end.
 */
export function readSafetensors(bytes: Uint8Array): { state: StateDict; metadata: Record<string, string> } {
  const broken = (what: string) => new FileFormatError(`safetensors: ${what}`);
  if (bytes.length < headerLengthBytes) throw broken(`${bytes.length} bytes are too few for a header`);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const start = headerLengthBytes + length;
  if (start > bytes.length) throw broken(`the header is to have ${length} bytes, the file has ${bytes.length}`);
  const header = parseHeader(bytes.subarray(headerLengthBytes, start));
  if (!header) throw broken('the header is not the JSON of an object');
  const state: StateDict = {};
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') {
      metadata = Object.fromEntries(Object.entries(value ?? {}).map(([key, text]) => [key, String(text)]));
      continue;
    }
    const entry = readEntry(value);
    if (!entry)
      throw broken(`the entry ${name} has no dtype (${Object.keys(names).join(', ')}), shape and data_offsets`);
    const { dtype, shape, from, to } = entry;
    const count = sizeOf(shape);
    if (to - from !== count * bytesPerElement[dtype] || start + to > bytes.length || from < 0) {
      throw broken(
        `${name} of shape [${shape}] and dtype ${dtype} is to stand at ${from} … ${to} of ${bytes.length - start} bytes`,
      );
    }
    // A copy of its own, which is aligned whatever the file's header came to. (A Buffer's slice would be no copy.)
    const own = new Uint8Array(bytes.subarray(start + from, start + to));
    state[name] = { shape, data: typedArray(dtype, count, own.buffer) };
  }
  return { state, metadata };
}

function nameOf(data: NumericArray): Name {
  if (data instanceof Float32Array) return 'F32';
  return data instanceof Float64Array ? 'F64' : 'I32';
}

function parseHeader(bytes: Uint8Array): object | null {
  try {
    const header: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return typeof header === 'object' ? header : null;
  } catch {
    return null;
  }
}

function readEntry(value: unknown) {
  if (typeof value !== 'object' || value === null) return null;
  if (!('dtype' in value && 'shape' in value && 'data_offsets' in value)) return null;
  const name = Object.keys(names).find((each): each is Name => each === value.dtype);
  const [shape, place] = [value.shape, value.data_offsets].map(wholeNumbers);
  if (!name || !shape || place?.length !== 2) return null;
  return { dtype: names[name], shape, from: place[0], to: place[1] };
}

function wholeNumbers(value: unknown): number[] | null {
  if (!Array.isArray(value)) return null;
  const numbers = value.filter((each): each is number => Number.isInteger(each) && each >= 0);
  return numbers.length === value.length ? numbers : null;
}
