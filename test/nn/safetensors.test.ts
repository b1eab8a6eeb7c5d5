import { describe, expect, test } from 'vitest';
import { FileFormatError, readSafetensors, type StateDict, writeSafetensors } from '../../src/index.ts';

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
  expect(Object.keys(read.state)).toEqual(Object.keys(state));
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
      'a of shape [2] and dtype f32 is to stand at 0 … 8 of 7',
    ],
    ['cut off in its header', whole.subarray(0, 20), 'the header is to have'],
    ['of another kind', Buffer.from('\x89PNG\r\n\x1a\n and so on'), 'the header is to have'],
    ['without JSON', withHeader('{"a":'), 'the header is not the JSON of an object'],
    ['with null for a header', withHeader('null'), 'the header is not the JSON of an object'],
    [
      'with an unknown dtype',
      withHeader('{"a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}}'),
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
