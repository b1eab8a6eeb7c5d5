import { describe, expect, test } from 'vitest';
import {
  ArgumentError,
  addLoRA,
  BackwardError,
  Block,
  backward,
  checkpoint,
  type Device,
  detach,
  Graph,
  gradcheck,
  gradientOf,
  mul,
  noGrad,
  Parameter,
  Random,
  requireGradient,
  rmsNorm,
  snapshotWork,
  step,
  type Tensor,
  workSince,
} from '../../src/index.ts';
import { cpu, onEachDevice, ownDevices } from '../devices.ts';
import { random } from '../shapes.ts';

const config = { vocabulary: 4, width: 8, heads: 2, hidden: 12, blocks: 1, head: 'language-model' } as const;
const shape = [3, 5, config.width];

/** Two blocks with adapters that drop, one after the other. */
function twoBlocks(device: Device) {
  const draws = new Random(5);
  const blocks = [1, 2].map((seed) => new Block(config, { device, random: new Random(seed) }));
  for (const block of blocks) addLoRA(block, { rank: 2, dropout: 0.4, random: draws, alsoTrain: ['down', 'norm'] });
  return { blocks, draws };
}

function through(blocks: readonly Block[], x: Tensor, isCheckpointed: boolean): Tensor {
  return blocks.reduce((h, block) => (isCheckpointed ? checkpoint((h) => block.call(h), h) : block.call(h)), x);
}

onEachDevice((device) => {
  /** Every gradient of a step through two blocks, the input's last, and where the random numbers are then. */
  async function gradients(isCheckpointed: boolean, prepare: (parameters: Parameter[]) => void = () => {}) {
    const { blocks, draws } = twoBlocks(device);
    const parameters = blocks.flatMap((block) => block.parameters());
    prepare(parameters);
    return step(async () => {
      const x = requireGradient(random(shape, { seed: 3, device }));
      backward(through(blocks, x, isCheckpointed), random(shape, { seed: 4, device }));
      const halves = parameters.map(({ leaf }) => leaf.halves !== null);
      const found: (number[] | null)[] = [];
      for (const each of [...parameters, x]) {
        const gradient = gradientOf(each);
        found.push(gradient && [...(await gradient.data())]);
      }
      return { found, halves, next: draws.uint32() };
    });
  }

  test('gradients are those of the plain graph, bit for bit, with dropout replayed and some frozen', async () => {
    const freezeSome = (parameters: Parameter[]) =>
      parameters.forEach((each, i) => {
        if (i % 3 === 0) each.freeze();
      });
    for (const prepare of [() => {}, freezeSome]) {
      const plain = await gradients(false, prepare);
      expect(plain.found.filter(Boolean).length).toBeGreaterThan(10);
      expect(await gradients(true, prepare)).toEqual(plain);
    }
  });

  test('gradients come in halves where that is asked for', async () => {
    const askHalves = (parameters: Parameter[]) => {
      for (const { kind, leaf, isFrozen } of parameters) if (kind === 'down' && !isFrozen) leaf.requestHalves();
    };
    const plain = await gradients(false, askHalves);
    expect(plain.halves).toContain(true);
    expect(await gradients(true, askHalves)).toEqual(plain);
  });

  test('a checkpoint inside a checkpoint, and over two steps with accumulation', async () => {
    const of = async (isNested: boolean) => {
      const { blocks, draws } = twoBlocks(device);
      const found: number[][] = [];
      for (let s = 0; s < 2; s++) {
        await step(async () => {
          for (const seed of [3, 4]) {
            const x = random(shape, { seed, device });
            const y = isNested ? checkpoint((x) => through(blocks, x, true), x) : through(blocks, x, false);
            backward(y, random(shape, { seed: 5 + s, device }));
          }
          for (const each of blocks.flatMap((block) => block.parameters())) {
            found.push([...((await gradientOf(each)?.data()) ?? [])]);
          }
        });
      }
      return { found, next: draws.uint32() };
    };
    expect(await of(true)).toEqual(await of(false));
  });

  test('it records nothing where nothing live is below and in it, and then runs once', async () => {
    const { blocks } = twoBlocks(device);
    const once = (isCheckpointed: boolean) =>
      step(() => {
        const before = snapshotWork(device);
        const y = through(blocks, random(shape, { seed: 3, device }), isCheckpointed);
        expect(y.node).toBeUndefined();
        return workSince(device, before).flops;
      });
    for (const block of blocks) for (const each of block.parameters()) each.freeze();
    expect(await once(true)).toBe(await once(false));
  });

  test('under noGrad it is the body', async () => {
    const { blocks } = twoBlocks(device);
    await step(() => {
      const y = noGrad(() => through(blocks, requireGradient(random(shape, { seed: 3, device })), true));
      expect(y.node).toBeUndefined();
    });
  });
});

test('what a frozen parameter would get is not computed, and the second forward pass is counted', async () => {
  const { blocks } = twoBlocks(cpu);
  const [block] = blocks;
  const work = (isCheckpointed: boolean) =>
    step(() => {
      const before = snapshotWork(cpu);
      const y = through([block], random(shape, { seed: 3, device: cpu }), isCheckpointed);
      const forward = workSince(cpu, before).flops;
      backward(y, random(shape, { seed: 4, device: cpu }));
      return { forward, all: workSince(cpu, before).flops };
    });
  const [plain, checkpointed] = [await work(false), await work(true)];
  expect(checkpointed.forward).toBe(plain.forward);
  expect(checkpointed.all).toBe(plain.all + plain.forward);
});

const own = await ownDevices();
onEachDevice((device) => {
  test('it keeps its input alone', async () => {
    const blocks = [1, 2, 3, 4].map((seed) => new Block(config, { device, random: new Random(seed) }));
    const measure = (isCheckpointed: boolean) =>
      step(() => {
        const x = random(shape, { seed: 3, device });
        const before = device.memory().liveBytes;
        const y = through(blocks, x, isCheckpointed);
        const { savedBytes, nodes } = new Graph(y).summary();
        const kept = device.memory().liveBytes - before;
        device.resetPeak();
        backward(y, random(shape, { seed: 4, device }));
        return { savedBytes, nodes, kept, peak: device.memory().peakBytes - before };
      });
    const [plain, checkpointed] = [await measure(false), await measure(true)];
    const bytes = 4 * 3 * 5 * config.width;
    expect(checkpointed).toMatchObject({ nodes: 4, savedBytes: 4 * bytes, kept: 4 * bytes });
    expect(checkpointed.peak).toBeLessThan(0.6 * plain.peak);
    expect(plain.kept).toBeGreaterThan(8 * checkpointed.kept);
  });
}, own);

describe('what does not fit is refused', () => {
  test('a body that uses what needs a gradient and is no input', async () => {
    await step(() => {
      const x = requireGradient(random([2, 3], { seed: 1, device: cpu }));
      const outside = mul(x, 2);
      expect(() => checkpoint((x) => mul(x, outside), x)).toThrow(BackwardError);
      expect(() => checkpoint((x) => mul(x, outside), x)).toThrow("'mul' uses the result of 'mul' [2, 3]");
      expect(checkpoint((x, y) => mul(x, y), x, outside).node).toBeDefined();
      expect(checkpoint((x) => mul(x, detach(outside)), x).node).toBeDefined();
      expect(() => checkpoint(() => x)).toThrow(ArgumentError);
      // Nothing of it stays behind.
      expect(mul(x, 2).node).toBeDefined();
    });
  });
});

test('the gradient agrees with central differences in f64, for inputs and for leaves inside', async () => {
  const gain = new Parameter(random([4], { seed: 2, device: cpu, dtype: 'f64' }), 'norm');
  const x = random([3, 4], { seed: 1, device: cpu, dtype: 'f64' });
  await gradcheck((x, y) => checkpoint((x, y) => mul(rmsNorm(x, gain), y), x, y), [x, x], { seed: 1 });
  await gradcheck((g) => checkpoint((x) => rmsNorm(x, g), x), [gain], { seed: 1 });
});
