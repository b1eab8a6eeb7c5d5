import { afterEach, expect, test } from 'vitest';
import {
  ArgumentError,
  backward,
  DTypeError,
  Graph,
  gradientOf,
  mul,
  Parameter,
  SGD,
  step,
  sum,
  tensor,
  transpose,
} from '../../src/index.ts';
import { onEachDevice } from '../devices.ts';
import { releaseLater, releaseMade } from './tiny.ts';

afterEach(releaseMade);

onEachDevice((device) => {
  const matrix = () =>
    tensor(
      [
        [1, 2, 3],
        [4, 5, 6],
      ],
      { device },
    );
  const parameterOf = (...values: number[]) => releaseLater(new Parameter(tensor(values, { device }), 'weight'));

  test('a parameter takes the buffer of its initial value over, and that tensor is released', async () => {
    const before = device.memory();
    const initial = matrix();
    const { buffer } = initial.storage;
    const parameter = new Parameter(initial, 'weight');
    expect(initial.isReleased).toBe(true);
    expect(parameter.storage.buffer).toBe(buffer);
    expect(device.memory().liveBuffers).toBe(before.liveBuffers + 1);
    expect(await parameter.toArray()).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    parameter.release();
    expect(device.memory().liveBytes).toBe(before.liveBytes);
  });

  test('a kind that is none is refused, and nothing is taken over', () => {
    const initial = releaseLater(matrix());
    expect(() => Reflect.construct(Parameter, [initial, { name: 'w' }])).toThrow(ArgumentError);
    expect(initial.isReleased).toBe(false);
  });

  test('a parameter from a view is a dense copy; what the view looked at stays as it was', async () => {
    const base = releaseLater(matrix());
    const turned = releaseLater(new Parameter(transpose(base), 'weight'));
    expect(turned.isContiguous).toBe(true);
    expect(await turned.toArray()).toEqual([
      [1, 4],
      [2, 5],
      [3, 6],
    ]);
    const row = releaseLater(new Parameter(base.slice([1, 0]), 'weight'));
    const optimizer = releaseLater(new SGD([row], { learningRate: 1 }));
    await step(() => {
      backward(sum(row));
      optimizer.step();
    });
    expect(await row.toArray()).toEqual([[3, 4, 5]]);
    expect(await base.toArray()).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
  });

  test('a parameter from the only view left of a buffer starts at the start of its own', async () => {
    const base = matrix();
    const view = base.slice([1, 0]);
    base.release();
    const row = releaseLater(new Parameter(view, 'weight'));
    expect(row.offset).toBe(0);
    const optimizer = releaseLater(new SGD([row], { learningRate: 1 }));
    await step(() => {
      backward(sum(row));
      optimizer.step();
    });
    expect(await row.toArray()).toEqual([[3, 4, 5]]);
  });

  test('a parameter made in a step outlives it', async () => {
    let made: Parameter | null = null;
    await step(() => {
      made = parameterOf(1, 2);
    });
    expect(await made!.toArray()).toEqual([1, 2]);
  });

  test('integers are no parameter', () => {
    const before = device.memory().liveBuffers;
    const integers = tensor(Int32Array.of(1, 2), { device });
    expect(() => new Parameter(integers, 'weight')).toThrow(DTypeError);
    integers.release();
    expect(device.memory().liveBuffers).toBe(before);
  });

  test('freeze takes it out of the graph and releases its gradient; thaw brings it back', async () => {
    const w = parameterOf(2, 3);
    const x = parameterOf(5, 7);
    await step(async () => {
      backward(sum(mul(w, x)));
      const gradient = gradientOf(w);
      expect(await gradient!.toArray()).toEqual([5, 7]);
      w.freeze();
      expect(gradient!.isReleased).toBe(true);
      expect(gradientOf(w)).toBeNull();
      expect(w.isFrozen).toBe(true);
      expect(w.isReleased).toBe(false);
    });
    await step(async () => {
      const loss = sum(mul(w, x));
      expect(new Graph(loss).leaves.map(({ tensor }) => tensor)).toEqual([x]);
      backward(loss);
      expect(gradientOf(w)).toBeNull();
      expect(await gradientOf(x)!.toArray()).toEqual([2, 3]);
    });
    w.thaw();
    await step(async () => {
      backward(sum(mul(w, x)));
      expect(w.isFrozen).toBe(false);
      expect(await gradientOf(w)!.toArray()).toEqual([5, 7]);
    });
  });

  test('listeners hear each change once; freezing the frozen and thawing the live is silent', () => {
    const w = parameterOf(1);
    const heard: boolean[] = [];
    w.onFreezeChange((changed) => heard.push(changed.isFrozen));
    w.thaw();
    w.freeze();
    w.freeze();
    w.thaw();
    w.thaw();
    expect(heard).toEqual([true, false]);
  });

  test('a new name reaches the graph', async () => {
    const w = parameterOf(1, 2);
    expect(w.name).toBe('weight');
    w.rename('encoder.scale');
    await step(() => {
      expect(new Graph(sum(w)).leaves.map(({ name }) => name)).toEqual(['encoder.scale']);
    });
  });
});
