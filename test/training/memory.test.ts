import { expect, test } from 'vitest';
import {
  AdamW,
  ArgumentError,
  addLoRA,
  checkFits,
  crossEntropy,
  Decoder,
  type DecoderConfig,
  type Device,
  OutOfMemoryError,
  Random,
  stepMemory,
  Training,
  Transformer,
  tensor,
  trainingMemory,
} from '../../src/index.ts';
import { CpuDevice } from '../../src/tensor/cpu/cpu-device.ts';
import { onEachDevice, ownDevices } from '../devices.ts';

const config: DecoderConfig = {
  ...{ vocabulary: 500, width: 16, blocks: 3, heads: 4, keyHeads: 2, headSize: 4, hidden: 24, contextLength: 32 },
  ...{ positions: { base: 100, size: 4, scaling: null }, normalization: 'rms', epsilon: 1e-5, headNorms: true },
  ...{ biases: { queryKeyValue: true, output: false, feedForward: false }, feedForward: 'swiglu' },
  ...{ windows: [null, null, null], tiedHead: true },
};
const [batch, time, targets] = [3, 10, 12];

/** The arms of a fine-tuning: what trains, and how. */
const arms: Record<string, (device: Device) => Decoder> = {
  'all weights': (device) => new Decoder(config, { device, random: new Random(1) }),
  'a head of its own': (device) => new Decoder({ ...config, tiedHead: false }, { device, random: new Random(1) }),
  'adapters on bf16, checkpointed': (device) => {
    const model = new Decoder(config, { device, dtype: 'bf16', random: new Random(1) });
    addLoRA(model, { rank: 2, dropout: 0.1, random: new Random(2) });
    model.checkpointBlocks = true;
    return model;
  },
  'the last block': (device) => {
    const model = new Decoder(config, { device, random: new Random(1) });
    for (const [path, each] of model.namedParameters()) if (!path.startsWith('blocks.2.')) each.freeze();
    return model;
  },
};

const own = await ownDevices();
onEachDevice((device) => {
  test.each(Object.keys(arms))('it is what the step then takes: %s', async (arm) => {
    const model = arms[arm](device);
    const need = await trainingMemory(model, { batch, time, targets, microBatches: 2 });
    const before = device.memory().liveBytes - need.weights;
    const optimizer = new AdamW(
      model.parameters().filter(({ isFrozen }) => !isFrozen),
      { learningRate: 1e-3 },
    );
    const training = new Training({
      ...{ model, optimizer, steps: 3, microBatches: 2 },
      loss() {
        const of = (value: (i: number) => number) =>
          tensor(
            Int32Array.from({ length: batch * time }, (_, i) => value(i)),
            { device, shape: [batch, time] },
          );
        return model.loss(
          of((i) => i),
          of((i) => (i < targets ? i : -100)),
        );
      },
    });
    await training.advance();
    const flops = device.work.flops;
    device.resetPeak();
    await training.advance();
    const { peakBytes } = device.memory();
    expect(need.operations).toBe(device.work.flops - flops);
    expect(need.optimizerState).toBe(optimizer.stateBytes);
    // Constants and tables that a device keeps were made by the test before.
    expect(Math.abs(need.peak - (peakBytes - before))).toBeLessThan(4096);
    expect(need.peak).toBeGreaterThan(30 * 4096);
    expect(need.reserved).toBeGreaterThanOrEqual(need.peak);
    optimizer.release();
    for (const each of model.parameters()) each.release();
  });

  test('any model: what its plan says', async () => {
    const need = await stepMemory(device, (device) => {
      const shape = { vocabulary: 11, width: 8, heads: 2, hidden: 12, blocks: 1, head: 'language-model' } as const;
      const model = new Transformer(shape, { device, random: null });
      const tokens = () => tensor(new Int32Array(12), { device, shape: [2, 6] });
      const optimizer = new AdamW(model.parameters(), { learningRate: 1e-3 });
      return { model, optimizer, loss: () => crossEntropy(model.call(tokens()), tokens()) };
    });
    expect(need.optimizerState).toBe(2 * need.weights);
    expect(need.gradients).toBe(need.weights);
    expect(need.peak).toBeGreaterThan(4 * need.weights);
  });
}, own);

test('checkpoints lower the activations, and a run that cannot fit is refused with the sum', async () => {
  const device = new CpuDevice({ memoryBudget: 500_000 });
  const model = arms['all weights'](device);
  const plain = await trainingMemory(model, { batch: 8, time: 32, targets: 8 });
  model.checkpointBlocks = true;
  const checkpointed = await trainingMemory(model, { batch: 8, time: 32, targets: 8 });
  expect(checkpointed.activations).toBeLessThan(0.2 * plain.activations);
  expect(checkpointed.operations).toBeGreaterThan(plain.operations);
  expect(() => checkFits(plain, device)).toThrow(OutOfMemoryError);
  expect(() => checkFits(plain, device)).toThrow(
    /needs \d+ MiB and the cpu device has 1 MiB \(weights 1 MiB, gradients/,
  );
  const few = await trainingMemory(model, { batch: 1, time: 4, targets: 1 });
  checkFits(few, new CpuDevice());
  expect(() => trainingMemory(model, { batch: 0, time: 4 })).toThrow(ArgumentError);
});
