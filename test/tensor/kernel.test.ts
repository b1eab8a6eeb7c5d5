import { describe, expect, test } from 'vitest';
import { DeviceMismatchError, KernelError, ReleasedTensorError, type Tensor, zeros } from '../../src/index.ts';
import { CpuDevice } from '../../src/tensor/cpu/cpu-device.ts';
import { dispatch } from '../../src/tensor/dispatch.ts';
import { kernel } from '../../src/tensor/kernel.ts';
import { cpu, onEachDevice, onWebGpu } from '../devices.ts';

/** Every test that gets as far as its WGSL is refused there. */
const line = kernel({
  name: 'line',
  operands: { x: 'read', result: 'write' },
  scalars: { count: 'u32', shift: 'i32', slope: 'f32' },
  wgsl: { file: 'fill' },
  reference({ x, result }, { count, shift, slope }) {
    for (let i = 0; i < count; i++) result[i] = slope * x[i] + shift;
  },
});

const workgroups = [1, 1, 1] as const;
const right = { count: 2, shift: -1, slope: 0.5 };

onEachDevice((device) => {
  const x = zeros([2], { device });
  const result = zeros([2], { device });
  const run = (operands: object, scalars: object) =>
    // As an unchecked call would: names and types of anything.
    Reflect.apply(dispatch, undefined, [line, { operands, scalars, workgroups, flops: 0 }]);

  test.each<[object, string]>([
    [{ x }, 'line: got the operands x (takes: x, result)'],
    [{ x, result: undefined }, 'line: got the operands x (takes: x, result)'],
    [{ x, y: x, result }, 'line: got the operands x, y, result (takes: x, result)'],
    [{ source: x, result }, 'line: got the operands source, result (takes: x, result)'],
  ])('operands %# of other names are refused', (operands, message) => {
    expect(() => run(operands, right)).toThrow(new KernelError(message));
  });

  test.each<[object, string]>([
    [{ count: 2, shift: 1 }, 'line: got the scalars count, shift (takes: count, shift, slope)'],
    [{ ...right, start: 1 }, 'line: got the scalars count, shift, slope, start (takes: count, shift, slope)'],
    [{ count: 2, shift: 1, slop: 1 }, 'line: got the scalars count, shift, slop (takes: count, shift, slope)'],
    [{ ...right, count: 1.5 }, 'line: scalar count is 1.5 (allowed: whole numbers from 0 to 4294967295)'],
    [{ ...right, count: -1 }, 'line: scalar count is -1 (allowed: whole numbers from 0 to 4294967295)'],
    [{ ...right, count: 2 ** 32 }, 'line: scalar count is 4294967296 (allowed: whole numbers from 0 to 4294967295)'],
    [{ ...right, count: Number.NaN }, 'line: scalar count is NaN (allowed: whole numbers from 0 to 4294967295)'],
    [{ ...right, shift: 2 ** 31 }, 'line: scalar shift is 2147483648 (allowed: whole numbers of 32 bits)'],
    [{ ...right, slope: '1' }, 'line: scalar slope is 1 (allowed: numbers)'],
    [{ ...right, slope: null }, 'line: scalar slope is null (allowed: numbers)'],
  ])('scalars %# of other names or types are refused', (scalars, message) => {
    expect(() => run({ x, result }, scalars)).toThrow(new KernelError(message));
  });

  test('what was released and what lives elsewhere is refused', () => {
    const gone = zeros([2], { device });
    gone.release();
    expect(() => run({ x: gone, result }, right)).toThrow(ReleasedTensorError);
    const elsewhere = zeros([2], { device: new CpuDevice() });
    expect(() => run({ x, result: elsewhere }, right)).toThrow(DeviceMismatchError);
  });
});

test('the order of names does not matter, and a wrong name does not compile', async () => {
  const [x, result] = [zeros([2], { device: cpu }), zeros([2], { device: cpu })];
  dispatch(line, { operands: { result, x }, scalars: { slope: 0.5, shift: -3, count: 1 }, workgroups, flops: 0 });
  expect(await result.toArray()).toEqual([-3, 0]);
  const call = { workgroups, flops: 0 };
  const wrong = [
    // @ts-expect-error: result is missing.
    () => dispatch(line, { operands: { x }, scalars: right, ...call }),
    // @ts-expect-error: y is no operand.
    () => dispatch(line, { operands: { x, y: x, result }, scalars: right, ...call }),
    // @ts-expect-error: slope is missing.
    () => dispatch(line, { operands: { x, result }, scalars: { count: 2, shift: 1 }, ...call }),
    // @ts-expect-error: scale is no scalar.
    () => dispatch(line, { operands: { x, result }, scalars: { ...right, scale: 1 }, ...call }),
    // @ts-expect-error: a list has no names.
    () => dispatch(line, { operands: [x, result], scalars: right, ...call }),
  ];
  for (const each of wrong) expect(each).toThrow(KernelError);
});

describe('a declaration', () => {
  const { operands, wgsl, reference } = line;
  const { name, scalars } = line;

  test('has no name twice, and no more scalars than immediates hold', () => {
    const twice = { ...scalars, x: 'u32' } as const;
    expect(() => kernel({ name, operands, scalars: twice, wgsl, reference })).toThrow(
      new KernelError("line: 'x' is an operand and a scalar"),
    );
    const many = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`s${i}`, 'u32' as const]));
    expect(() => kernel({ name, operands, scalars: many, wgsl, reference: () => {} })).toThrow(
      new KernelError('line: has more than 16 scalars'),
    );
  });

  onWebGpu((device) => {
    const x = zeros([2], { device });
    const run = (declared: Readonly<Record<string, 'read' | 'write'>>, file: string) => {
      const made = kernel({ name, operands: declared, scalars: {}, wgsl: { file }, reference: () => {} });
      const given: Record<string, Tensor> = Object.fromEntries(made.operandNames.map((each) => [each, x]));
      dispatch(made, { operands: given, scalars: {}, workgroups, flops: 0 });
    };

    test('that names an operand as the WGSL file does not is refused', () => {
      expect(() => run({ target: 'write' }, 'fill')).toThrow(
        new KernelError(
          "line: operand target is write, but fill.wgsl has no '@binding(0) var<storage, read_write> target'",
        ),
      );
    });

    test('that has them in another order is refused', () => {
      expect(() => run({ result: 'write', source: 'read' }, 'reduce_rows')).toThrow(
        "line: operand result is write, but reduce_rows.wgsl has no '@binding(0) var<storage, read_write> result'",
      );
    });

    test('that only reads what is written is refused', () => {
      expect(() => run({ result: 'read' }, 'fill')).toThrow(
        "line: operand result is read, but fill.wgsl has no '@binding(0) var<storage, read> result'",
      );
    });

    test('that lacks a binding of the file is refused', () => {
      expect(() => run({ source: 'read' }, 'reduce_rows')).toThrow(
        "line: reduce_rows.wgsl has '@binding(1) var<storage, read_write> result', which is no operand",
      );
    });
  });
});

describe('a function of kernels/simd/', () => {
  const run = (name: string, others: Record<string, number> = {}) => {
    const made = kernel({ ...line, simd: (call) => call.run(name, { xStep: 1, partLength: 4, ...others }) });
    const [x, result] = [zeros([2], { device: cpu }), zeros([2], { device: cpu })];
    dispatch(made, { operands: { x, result }, scalars: right, workgroups, flops: 0 });
    return result;
  };

  test('gets what is called as its parameters are', async () => {
    expect(await run('relu').toArray()).toEqual([0, 0]);
  });

  test('that there is not is refused, and the ones there are are named', () => {
    expect(() => run('rleu')).toThrow(KernelError);
    expect(() => run('rleu')).toThrow(/^kernels\/simd has no function rleu \(allowed: .*\bmatmul\b.*\brelu\b/);
  });

  test('with a parameter that nothing is called as is refused', () => {
    expect(() => run('add')).toThrow(new KernelError('line: the function add takes y, and nothing is called so'));
  });

  test('is not given what it does not take', () => {
    expect(() => run('relu', { z: 1 })).toThrow(new KernelError('line: the function relu does not take z'));
  });
});
