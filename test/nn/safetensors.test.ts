import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  ArgumentError,
  FileFormatError,
  FrostgradError,
  readSafetensors,
  type StateDict,
  tensor,
  writeSafetensors,
} from '../../src/index.ts';
import { decodeTensor, headerLengthOf, parseHeader } from '../../src/nn/safetensors.ts';
import { roundToBFloat16 } from '../../src/tensor/bfloat16.ts';

const state: StateDict = {
  'blocks.0.weight': { shape: [2, 3], data: Float32Array.of(1, -2.5, 3e-30, Number.NaN, Number.POSITIVE_INFINITY, 0) },
  wide: { shape: [2], data: Float64Array.of(Math.PI, -1e300) },
  counts: { shape: [3], data: Int32Array.of(1, -2, 2 ** 31 - 1) },
  scalar: { shape: [], data: Float32Array.of(7) },
  nothing: { shape: [0, 4], data: new Float32Array(0) },
};

test('what is written is read back bit for bit, with names, shapes, dtypes and metadata', () => {
  const bytes = writeSafetensors(state, { made: 'by a test', 'name with ä': 'ü' });
  const read = readSafetensors(bytes);
  expect(read.metadata).toEqual({ made: 'by a test', 'name with ä': 'ü' });
  expect(read.state).toEqual(state);
  expect(Object.keys(read.state)).toEqual(['wide', 'blocks.0.weight', 'nothing', 'scalar', 'counts']);
});

test('it is read from any place in memory, and shares none with the file', () => {
  const bytes = writeSafetensors(state);
  const shifted = Buffer.alloc(bytes.length + 3);
  shifted.set(bytes, 3);
  const read = readSafetensors(shifted.subarray(3)).state;
  shifted.fill(0);
  expect(read).toEqual(state);
});

test('the layout is that of the format', () => {
  const bytes = writeSafetensors({ a: { shape: [2], data: Float32Array.of(1, 2) } });
  const view = new DataView(bytes.buffer);
  const length = Number(view.getBigUint64(0, true));
  expect(length % 8).toBe(0);
  const header = JSON.parse(Buffer.from(bytes.subarray(8, 8 + length)).toString());
  expect(header).toEqual({ __metadata__: {}, a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } });
  expect([view.getFloat32(8 + length, true), view.getFloat32(12 + length, true)]).toEqual([1, 2]);
});

describe('a file that cannot be read says what is wrong', () => {
  const whole = writeSafetensors({ a: { shape: [2], data: Float32Array.of(1, 2) } });
  const withHeader = (header: string, values = 8) => {
    const text = Buffer.from(header);
    const bytes = Buffer.alloc(8 + text.length + values);
    bytes.writeBigUInt64LE(BigInt(text.length));
    bytes.set(text, 8);
    return bytes;
  };
  test.each([
    ['empty', new Uint8Array(0), '0 bytes are too few'],
    [
      'cut off in its values',
      whole.subarray(0, whole.length - 1),
      'a of shape [2] and dtype F32 is to stand at 0 … 8 of 7',
    ],
    ['cut off in its header', whole.subarray(0, 20), 'the header is to have'],
    ['of another kind', Buffer.from('\x89PNG\r\n\x1a\n and so on'), 'the header is to have'],
    ['without JSON', withHeader('{"a":'), 'the header is not the JSON of an object'],
    ['with null for a header', withHeader('null'), 'the header is not the JSON of an object'],
    [
      'with an unknown dtype',
      withHeader('{"a":{"dtype":"F31","shape":[4],"data_offsets":[0,8]}}'),
      'the entry a has no',
    ],
    [
      'with a negative place',
      withHeader('{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}'),
      'the entry a has no',
    ],
    [
      'with too little room',
      withHeader('{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}'),
      'is to stand at 0 … 8',
    ],
  ])('%s', (_, bytes, message) => {
    expect(() => readSafetensors(bytes)).toThrow(FileFormatError);
    expect(() => readSafetensors(bytes)).toThrow(message);
  });
});

describe('what is no state is refused, and no broken file is written', () => {
  const data = Float32Array.of(1, 2, 3);
  test.each<[string, unknown, unknown, RegExp]>([
    ['fewer values than the shape holds', { a: { shape: [2, 2], data } }, {}, /a of shape \[2, 2\] has 3 values/],
    ['an extent of NaN', { a: { shape: [Number.NaN], data } }, {}, /a: shape \[NaN\] must hold/],
    ['no shape', { a: { data } }, {}, /a: shape is null/],
    ['a plain list of values', { a: { shape: [3], data: [1, 2, 3] } }, {}, /a is no entry of a state/],
    ['bytes for values', { a: { shape: [3], data: new Uint8Array(3) } }, {}, /a is no entry of a state/],
    ['another dtype', { a: { shape: [3], data, dtype: 'f16' } }, {}, /a has dtype f16/],
    ['a tensor', { a: tensor([1]) }, {}, /a is no entry of a state/],
    ['a Map', new Map([['a', { shape: [3], data }]]), {}, /the state is Map/],
    ['nothing', null, {}, /the state is null/],
    ['metadata that are no texts', { a: { shape: [3], data } }, { epoch: 3 }, /epoch of the metadata is 3/],
    ['a text for metadata', { a: { shape: [3], data } }, 'epoch 3', /the metadata are epoch 3/],
    ['the name that the format keeps to itself', { __metadata__: { shape: [3], data } }, {}, /called __metadata__/],
  ])('%s', (_, state, metadata, message) => {
    const write = () => Reflect.apply(writeSafetensors, undefined, [state, metadata]);
    expect(write).toThrow(FrostgradError);
    expect(write).toThrow(message);
  });

  test.each([['a text'], [null], [undefined], [[0]], [new ArrayBuffer(9)]])('%s is no file', (bytes) => {
    expect(() => Reflect.apply(readSafetensors, undefined, [bytes])).toThrow(ArgumentError);
  });
});

describe('files of the reference', () => {
  const folder = new URL('../pretrained/fixtures/safetensors/', import.meta.url);
  const read = (name: string) => readFileSync(new URL(name, folder));

  test('every dtype is widened exactly', () => {
    const many: Record<string, { shape: number[]; values: (number | string | boolean)[] }> = JSON.parse(
      read('many-dtypes.json').toString(),
    );
    // What does not fit 32 bits is refused, in the test below.
    const { i64: _, ...readable } = many;
    const bytes = read('many-dtypes.safetensors');
    const start = 8 + headerLengthOf(bytes, bytes.length);
    const { tensors, metadata } = parseHeader(bytes.subarray(8, start), bytes.length - start);
    expect(metadata).toEqual({ 'made by': 'a test', über: '漢字 \n 🧊' });
    expect([...tensors.keys()].toSorted()).toEqual(Object.keys(many).toSorted());
    for (const [name, { shape, values }] of Object.entries(readable)) {
      const stored = tensors.get(name);
      if (!stored) throw new Error(name);
      const data = decodeTensor(name, stored, bytes.subarray(start + stored.start, start + stored.end));
      expect(stored.shape, name).toEqual(shape);
      expect([...data], name).toEqual(values.map(Number));
    }
    expect(() => readSafetensors(bytes)).toThrow('i64 of dtype I64 holds 9007199254740993');
  });

  test('the reference orders and aligns as we do: its file written again has the same bytes', () => {
    const bytes = read('../models/llama/model.safetensors');
    const { state, metadata } = readSafetensors(bytes);
    expect(Buffer.from(writeSafetensors(state, metadata)).equals(bytes)).toBe(true);
  });

  const { files }: { files: Record<string, { refused: boolean; base64: string }> } = JSON.parse(
    read('broken.json').toString(),
  );
  test.each(Object.entries(files))('%s: the same verdict', (_, { refused, base64 }) => {
    const judge = () => readSafetensors(Buffer.from(base64, 'base64'));
    if (refused) expect(judge).toThrow(FileFormatError);
    else expect(judge).not.toThrow();
  });
});

test('bf16 is rounded to the nearest, ties to even', () => {
  const near = 1 + 2 ** -7;
  const values = Float32Array.of(
    1,
    near,
    1 + 2 ** -8,
    near + 2 ** -8,
    1 + 2 ** -8 + 2 ** -20,
    -0,
    Infinity,
    NaN,
    3.4e38,
  );
  const stored = { dtype: 'BF16', shape: [9], start: 0, end: 18 } as const;
  const back = decodeTensor('x', stored, new Uint8Array(roundToBFloat16(values).buffer));
  expect([...back]).toEqual([1, near, 1, 1 + 2 ** -6, near, -0, Infinity, NaN, Infinity]);
});
