/**
 * Files that lie. Sound safetensors, checkpoints and indices are changed at random and given to their readers: each is refused by a
 * named error, or read as what it says, and takes no more memory than a file of its size may.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  FileFormatError,
  type NumericArray,
  Random,
  readCheckpoint,
  readSafetensors,
  type StateDict,
  writeCheckpoint,
  writeSafetensors,
} from '../../src/index.ts';
import { WeightFiles } from '../../src/pretrained/weights.ts';

export interface Judged {
  files: number;
  refused: number;
  read: number;
  /** Files by the way in which they were changed. */
  readonly changes: Record<string, number>;
  /** Milliseconds of the slowest file, and the most bytes that one took beyond what its size allows; below 0, none did. */
  slowest: number;
  beyond: number;
  /** In words; none where all is well. */
  readonly faults: string[];
}

/**
 * What a reader may take: so many times the bytes of a file, as JSON of nothing but brackets does, and a constant. The engine's own heap
 * comes and goes by some megabytes.
 */
const allowed = { times: 32, constant: 2 ** 24 };

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type Entry = { dtype: Json; shape: Json; data_offsets: Json };
type Header = Record<string, Entry>;
type Change = (bytes: Uint8Array, random: Random) => Uint8Array;

const oneOf = <T>(random: Random, ...values: readonly T[]): T => values[random.integer(values.length)];

const numbers: readonly Json[] = [
  ...[-1, 0, 1, 3, 1.5, 1e9, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 53 + 2, 1e19, 1e308],
  ...['4', null, true, [], {}],
];
const dtypes = ['F64', 'F32', 'F16', 'BF16', 'I64', 'U8', 'BOOL', 'F4', 'F8_E4M3', 'C64', 'X', 'f32', '', 7, null];
const names = ['__metadata__', '__proto__', 'constructor', 'toString', '', '\u0000', '💥', 'x'.repeat(5000)];

/** The header as a text changes, and its length in front of it goes along. */
function ofText(change: (text: string, random: Random) => string | Uint8Array): Change {
  return (bytes, random) => {
    const end = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const changed = change(new TextDecoder().decode(bytes.subarray(8, end)).trim(), random);
    const text = typeof changed === 'string' ? new TextEncoder().encode(changed) : changed;
    const whole = new Uint8Array(8 + text.length + bytes.length - end);
    new DataView(whole.buffer).setBigUint64(0, BigInt(text.length), true);
    whole.set(text, 8);
    whole.set(bytes.subarray(end), 8 + text.length);
    return whole;
  };
}

/** What the header says changes. */
function ofHeader(change: (header: Header, random: Random, one: Entry) => unknown): Change {
  return ofText((text, random) => {
    const header: Header = JSON.parse(text);
    change(header, random, header[oneOf(random, ...Object.keys(header).filter((name) => name !== '__metadata__'))]);
    return JSON.stringify(header);
  });
}

function ofList(key: 'shape' | 'data_offsets'): Change {
  return ofHeader((_, random, one) => {
    const list = Array.isArray(one[key]) ? [...one[key]] : [];
    const more = random.integer(4) > 0 ? [oneOf(random, ...numbers)] : [];
    list.splice(random.integer(list.length + 1), random.integer(2), ...more);
    one[key] = random.integer(10) === 0 ? oneOf(random, ...numbers) : list;
  });
}

/** As deep as 100,000 levels: where a reader goes down by calling itself, its stack ends first. */
function nested(random: Random): string {
  const depth = 10 ** (1 + random.integer(5));
  const [open, close] = oneOf(random, ['[', ']'], ['{"a":', '}']);
  return `${open.repeat(depth)}1${close.repeat(depth)}`;
}

const changes: Readonly<Record<string, Change>> = {
  unchanged: (bytes) => bytes,
  'cut short': (bytes, random) => bytes.slice(0, random.integer(bytes.length)),
  'bytes left over': (bytes, random) => Uint8Array.from([...bytes, ...new Uint8Array(1 + random.integer(9))]),
  'bytes changed': (bytes, random) => {
    const changed = bytes.slice();
    for (let i = random.integer(6); i >= 0; i--) changed[random.integer(changed.length)] = random.integer(256);
    return changed;
  },
  'random bytes': (_, random) => Uint8Array.from({ length: random.integer(200) }, () => random.integer(256)),
  'length of the header': (bytes, random) => {
    const lengths = [0n, 1n, 2n, BigInt(bytes.length), 99_999_999n, 100_000_001n, 2n ** 31n, 2n ** 53n, 2n ** 64n - 1n];
    const changed = bytes.slice();
    const length = oneOf(random, ...lengths, BigInt(random.integer(bytes.length)));
    new DataView(changed.buffer).setBigUint64(0, length, true);
    return changed;
  },
  offsets: ofList('data_offsets'),
  shapes: ofList('shape'),
  dtypes: ofHeader((_, random, one) => {
    one.dtype = oneOf<Json>(random, ...dtypes);
  }),
  overlaps: ofHeader((header, random, one) => {
    one.data_offsets = oneOf(random, ...Object.values(header)).data_offsets;
  }),
  holes: ofHeader((header, random) => {
    const [from, by] = [random.integer(60), 1 + random.integer(8)];
    for (const entry of Object.values(header)) {
      if (!Array.isArray(entry.data_offsets)) continue;
      entry.data_offsets = entry.data_offsets.map((at) => (at >= from ? at + by : at));
    }
  }),
  'entries missing': ofHeader((header, random) => delete header[oneOf(random, ...Object.keys(header))]),
  'entries of other kinds': ofHeader((header, random) =>
    Object.assign(header, { [oneOf(random, ...Object.keys(header))]: oneOf(random, ...numbers) }),
  ),
  'strange names': ofText((text, random) => {
    const value = oneOf<Json>(random, ...numbers, { dtype: 'F32', shape: [0], data_offsets: [0, 0] });
    return `{${JSON.stringify(oneOf(random, ...names))}:${JSON.stringify(value)},${text.slice(1)}`;
  }),
  'names twice': ofText((text, random) => {
    const [entry] = /"[^"]*":\{"dtype[^}]*\}/.exec(text) ?? [''];
    const other = entry.replace(/\d+/g, (digits) => String(Number(digits) + random.integer(3)));
    return `{${oneOf(random, entry, other, '"__metadata__":{"a":"b"}')},${text.slice(1)}`;
  }),
  'deep JSON': ofText((text, random) => {
    const deep = nested(random);
    const places = ['"a":', '"__metadata__":', '"weight_map":', '"weight_map":{"a":', '"__metadata__":{"a":'];
    const place = oneOf(random, ...places);
    const end = place.endsWith('{"a":') ? '}' : '';
    return oneOf(random, deep, `{${place}${deep}${end}}`, `${text.slice(0, -1)},${place}${deep}${end}}`);
  }),
  'deep state': ofHeader((header, random) =>
    Object.assign(header, { __metadata__: { ...header.__metadata__, state: nested(random) } }),
  ),
  'large numbers': ofText((text, random) =>
    text.replace(/\d+/g, (digits) =>
      random.integer(4) > 0 ? digits : oneOf(random, '9007199254740993', '18446744073709551616', '1e400', '-0', '4.0'),
    ),
  ),
  'broken text': ofText((text, random) => {
    const at = random.integer(text.length);
    const put = oneOf(random, '"', '}', ',', '\\u12', '\n', '\uFEFF', 'NaN', '1e999', '\\ud800', '//', '\u0000');
    return text.slice(0, at) + put + text.slice(at + random.integer(2));
  }),
  'invalid UTF-8': ofText((text, random) => {
    const bytes = new TextEncoder().encode(text);
    bytes.set(oneOf(random, [0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5]), random.integer(bytes.length - 3));
    return bytes;
  }),
  'much room': ofText((text, random) => text + ' '.repeat(10 ** random.integer(7))),
};

/** A sound file of each kind, small. */
const tensors = {
  wide: { shape: [2, 2], data: Float64Array.of(Math.PI, -1e300, 0, 1) },
  matrix: { shape: [2, 3], data: Float32Array.of(1, -2.5, 3e-30, Number.NaN, Number.POSITIVE_INFINITY, 0) },
  counts: { shape: [3], data: Int32Array.of(1, -2, 2 ** 31 - 1) },
  narrow: { shape: [4], data: Float32Array.of(1, 2, -3, 0.5), dtype: 'bf16' },
  scalar: { shape: [], data: Float32Array.of(7) },
  nothing: { shape: [0, 4], data: new Float32Array(0) },
} as const satisfies StateDict;

/** Shards of a folder, and which tensor is where. */
const shards = { 'a.safetensors': ['wide', 'matrix'], 'b.safetensors': ['counts', 'narrow', 'scalar'] } as const;

type Kind = 'whole' | 'shard' | 'index' | 'checkpoint';

/**
 * Changes so many files, and has each read.
 *
 * @param folder for the files; what it holds is overwritten.
 */
export async function judgeFiles(
  count: number,
  { folder, seed, onFile }: { folder: string; seed: number; onFile?(done: number): void },
): Promise<Judged> {
  const random = new Random(seed);
  const found: Judged = { files: 0, refused: 0, read: 0, changes: {}, slowest: 0, beyond: -Infinity, faults: [] };
  const sound = await soundFiles(folder);
  while (found.files < count) {
    found.files++;
    const kind = oneOf<Kind>(random, 'whole', 'whole', 'shard', 'index', 'checkpoint');
    const name = oneOf(random, ...Object.keys(changes));
    // An index is JSON without a length in front.
    const bytes = changes[name](sound[kind], random).subarray(kind === 'index' ? 8 : 0);
    found.changes[name] = (found.changes[name] ?? 0) + 1;
    const fault = (what: string) =>
      found.faults.push(`file ${found.files} of seed ${seed} (${kind}, ${name}): ${what}`);
    for (const reader of readers[kind]) {
      const [before, began] = [memory(), performance.now()];
      try {
        const read = await reader(folder, bytes);
        found.read++;
        const wrong = read && kind !== 'index' ? notAsSaid(bytes, read) : null;
        if (wrong) fault(wrong);
      } catch (error) {
        found.refused++;
        if (!(error instanceof FileFormatError)) fault(String(error).slice(0, 200));
      }
      found.slowest = Math.max(found.slowest, performance.now() - began);
      const beyond = memory() - before - allowed.times * bytes.length - allowed.constant;
      found.beyond = Math.max(found.beyond, beyond);
      if (beyond > 0) fault(`${beyond} bytes more than a file of ${bytes.length} bytes may take`);
    }
    onFile?.(found.files);
  }
  return found;
}

/** Each kind before it is changed, in a folder that holds what goes with it. */
async function soundFiles(folder: string): Promise<Record<Kind, Uint8Array>> {
  const shardOf = (names: readonly string[]) =>
    writeSafetensors(Object.fromEntries(Object.entries(tensors).filter(([name]) => names.includes(name))));
  const index = JSON.stringify({
    metadata: {},
    weight_map: Object.fromEntries(Object.entries(shards).flatMap(([file, held]) => held.map((name) => [name, file]))),
  });
  for (const part of ['whole', 'shard', 'index']) {
    mkdirSync(join(folder, part), { recursive: true });
    if (part === 'whole') continue;
    for (const [name, held] of Object.entries(shards)) writeFileSync(join(folder, part, name), shardOf(held));
    writeFileSync(join(folder, part, 'model.safetensors.index.json'), index);
  }
  const checkpoint = join(folder, 'checkpoint.safetensors');
  await writeCheckpoint(checkpoint, { step: 3, model: { a: Float32Array.of(1, 2) }, lists: [[-0, null]] });
  const lengthOfIndex = new Uint8Array(BigUint64Array.of(BigInt(index.length)).buffer);
  return {
    whole: writeSafetensors(tensors, { made: 'by a script' }),
    shard: shardOf(shards['b.safetensors']),
    index: Uint8Array.from([...lengthOfIndex, ...new TextEncoder().encode(index)]),
    checkpoint: new Uint8Array(readFileSync(checkpoint)),
  };
}

type Values = ReadonlyMap<string, NumericArray>;

/** Who reads a kind of file. What they give is checked where it says the values of a file. */
const readers: Readonly<Record<Kind, readonly ((folder: string, bytes: Uint8Array) => Promise<Values | null>)[]>> = {
  whole: [
    async (_, bytes) => new Map(Object.entries(readSafetensors(bytes).state).map(([name, { data }]) => [name, data])),
    (folder, bytes) => readWeights(join(folder, 'whole'), 'model.safetensors', bytes),
  ],
  shard: [(folder, bytes) => readWeights(join(folder, 'shard'), 'b.safetensors', bytes)],
  index: [(folder, bytes) => readWeights(join(folder, 'index'), 'model.safetensors.index.json', bytes)],
  checkpoint: [
    async (folder, bytes) => {
      const path = join(folder, 'checkpoint.safetensors');
      writeFileSync(path, bytes);
      await readCheckpoint(path);
      return null;
    },
  ],
};

async function readWeights(folder: string, name: string, bytes: Uint8Array): Promise<Values> {
  writeFileSync(join(folder, name), bytes);
  const weights = await WeightFiles.openFolder(folder);
  try {
    const read = new Map<string, NumericArray>();
    for (const each of weights.names) read.set(each, await weights.read(each));
    return read;
  } finally {
    await weights.close();
  }
}

/** Bytes of an element, and how it is read, of the dtypes that the sound files have. */
const elements: Readonly<Record<string, readonly [number, (view: DataView, at: number) => number]>> = {
  F64: [8, (view, at) => view.getFloat64(at, true)],
  F32: [4, (view, at) => view.getFloat32(at, true)],
  I32: [4, (view, at) => view.getInt32(at, true)],
  BF16: [2, (view, at) => new DataView(Uint32Array.of(view.getUint16(at, true) << 16).buffer).getFloat32(0, true)],
};

/** What was read is held against the bytes by the plainest reader there is; null where they agree. */
function notAsSaid(bytes: Uint8Array, read: Values): string | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 8 + Number(view.getBigUint64(0, true));
  const header: Header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  for (const [name, values] of read) {
    // Of a shard, the others are sound.
    if (!Object.hasOwn(header, name)) continue;
    const { dtype, shape, data_offsets: place } = header[name];
    if (!Array.isArray(shape) || !Array.isArray(place)) return `${name} has no shape or no place`;
    const size = shape.reduce((product, extent) => product * extent, 1);
    const [width, get] = elements[String(dtype)] ?? [null, null];
    const expected = Array.from({ length: size }, (_, i) => get?.(view, start + place[0] + width * i) ?? values[i]);
    if (!isDeepStrictEqual([...values], expected)) return `${name} was read as ${values}, and is ${expected}`;
  }
  return null;
}

function memory(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
