/** ⟨gA, gB⟩, the product of the gradients of the two halves of a batch. */
import { afterEach, expect, test } from 'vitest';
import {
  backward,
  gradientMagnitude,
  gradientOf,
  Linear,
  mul,
  Random,
  SGD,
  splitHalf,
  step,
  sub,
  type Tensor,
  tensor,
} from '../../../src/index.ts';
import { onEachDevice } from '../../devices.ts';
import { plainSum } from '../../nn/given-gradients.ts';
import { releaseLater, releaseMade } from '../../nn/tiny.ts';
import { random as randomTensor } from '../../shapes.ts';
import { type Seen, testAgainstPlainLoops } from './plain-loops.ts';

afterEach(releaseMade);

const product = (x: number, y: number) => x * y;
const plain = ({ now: { halves } }: Seen) => ({
  value: plainSum(product, ...halves),
  size: plainSum((x, y) => Math.abs(x * y), ...halves),
});

testAgainstPlainLoops(splitHalf, plain);
testAgainstPlainLoops(splitHalf, plain, 2);

onEachDevice((device) => {
  // 30 elements, which the kernels walk one by one, and 48, which they walk four at a time.
  test.each([5, 8])(
    'the product of the halves is that of two gradients over half the batch each, with %d outputs',
    async (outputs) => {
      const linear = new Linear(6, outputs, { device, random: new Random(4) });
      const { weight } = linear;
      releaseLater(weight);
      const optimizer = releaseLater(new SGD([weight], { learningRate: 0 }));
      const [batch, time] = [4, 3];
      // Σ over all samples, so that the gradient of the batch is the sum of those of its halves.
      const lossOf = (x: Tensor, y: Tensor) => {
        const error = sub(linear.call(x), y);
        return mul(error, error).sum();
      };
      const inputs = () => [
        randomTensor([batch, time, 6], { seed: 1, device }),
        randomTensor([batch, time, outputs], { seed: 2, device }),
      ];
      const gradients: ArrayLike<number>[] = [];
      for (const [from, to] of [
        [0, 2],
        [2, 4],
      ]) {
        await step(async () => {
          const [x, y] = inputs().map((each) => each.slice([from], [to]));
          backward(lossOf(x, y));
          gradients.push((await gradientOf(weight)?.data()) ?? []);
        });
      }
      const [ofHalves, ofWhole] = [splitHalf, gradientMagnitude].map((sum) => optimizer.watch(sum, [weight]));
      const measured = async (inHalves: boolean) => {
        ofWhole.measureNext();
        if (inHalves) ofHalves.measureNext();
        await step(() => {
          const [x, y] = inputs();
          backward(lossOf(x, y));
          optimizer.step();
        });
        const { sums, squares } = await optimizer.report();
        const sumOf = (watch: typeof ofHalves) => sums.get(watch)?.get(weight);
        return { product: sumOf(ofHalves), absolute: sumOf(ofWhole), squares: squares.get(weight) };
      };
      const [split, whole] = [await measured(true), await measured(false)];
      expect(whole.product).toBeUndefined();
      expect((split.product ?? 0) / plainSum(product, gradients[0], gradients[1])).toBeCloseTo(1, 4);
      for (const { absolute = 0, squares = 0 } of [split, whole]) {
        expect(absolute / plainSum((x, y) => Math.abs(x + y), gradients[0], gradients[1])).toBeCloseTo(1, 4);
        expect(squares / plainSum((x, y) => (x + y) ** 2, gradients[0], gradients[1])).toBeCloseTo(1, 4);
      }
    },
  );

  test('halves of micro-batches add up like their gradients', async () => {
    const linear = new Linear(3, 2, { device, random: new Random(4) });
    const weight = releaseLater(linear.weight);
    const optimizer = releaseLater(new SGD([weight], { learningRate: 0 }));
    const [ofHalves, ofWhole] = [splitHalf, gradientMagnitude].map((sum) => optimizer.watch(sum, [weight]));
    ofHalves.measureNext();
    ofWhole.measureNext();
    const x = [1, 2, 3, 4].map((seed) => Array.from({ length: 3 }, (_, i) => Math.sin(seed * 3 + i)));
    // The loss is the sum of the outputs, so each half's gradient is the column of its sample, twice.
    await step(() => {
      for (const samples of [x.slice(0, 2), x.slice(2)]) backward(linear.call(tensor(samples, { device })).sum());
      optimizer.step();
    });
    const column = (a: number[], b: number[]) => a.flatMap((value, i) => [value + b[i], value + b[i]]);
    const halves = [column(x[0], x[2]), column(x[1], x[3])] as const;
    const { sums } = await optimizer.report();
    expect(sums.get(ofHalves)?.get(weight)).toBeCloseTo(plainSum(product, ...halves), 4);
    const absolute = plainSum((a, b) => Math.abs(a + b), ...halves);
    expect(sums.get(ofWhole)?.get(weight)).toBeCloseTo(absolute, 4);
  });
});
