import { afterEach, describe, expect, test } from 'vitest';
import {
  cast,
  type Device,
  DTypeError,
  GradES,
  Linear,
  LoRAAdapter,
  noGrad,
  Parameter,
  Random,
  step,
  type TransformerConfig,
  zeros,
} from '../../src/index.ts';
import { cpu, onWebGpu, webgpu } from '../devices.ts';
import { expectClose, random } from '../shapes.ts';
import { releaseLater, releaseMade, Training, tinyBatch, tinyModel } from './tiny.ts';

afterEach(releaseMade);

const variants: Record<string, Partial<TransformerConfig>> = {
  'a language model with SwiGLU': {},
  'a classifier with layer norms, learned positions and ReLU': {
    head: { classes: 3 },
    normalization: 'layer',
    positions: { learned: 6 },
    feedForward: 'relu',
  },
};

/** The logits, and the bytes that stay for the backward pass, beside the parameters. */
function forward(device: Device, config: Partial<TransformerConfig>): Promise<{ logits: number[]; saved: number }> {
  const model = tinyModel(device, config);
  return step(async () => {
    const { tokens } = tinyBatch(device, 1);
    const before = device.memory().liveBytes;
    const logits = model.call(tokens);
    const saved = device.memory().liveBytes - before;
    return { logits: Array.from(await logits.data()), saved };
  });
}

describe.skipIf(webgpu !== null && !webgpu.supports('f16'))('values between layers in f16', () => {
  onWebGpu((device) => {
    test.each(Object.entries(variants))(
      '%s: the same logits to three digits, saved in little more than half the bytes',
      async (_, config) => {
        const whole = await forward(device, config);
        const half = await forward(device, { ...config, activations: 'f16' });
        const largest = Math.max(...whole.logits.map(Math.abs));
        for (const [i, logit] of half.logits.entries())
          expect(Math.abs(logit - whole.logits[i])).toBeLessThan(5e-3 * largest);
        expect(half.logits).not.toEqual(whole.logits);
        expect(half.saved / whole.saved).toBeLessThan(0.62);
      },
    );

    test('training goes the same way, with matrices watched and one frozen', async () => {
      const losses: number[][] = [];
      for (const activations of [undefined, 'f16'] as const) {
        const training = new Training(device, { model: { activations } });
        const policy = new GradES(training.registry, training.optimizer, {
          steps: 40,
          interval: 1,
        });
        await training.steps(1, 40, { policy });
        training.freeze('blocks.0.feedForward.gate.weight');
        await training.steps(41, 45);
        losses.push(training.losses);
      }
      const [whole, half] = losses;
      expect(whole[44]).toBeLessThan(0.8 * whole[0]);
      for (const [i, loss] of half.entries()) expect(Math.abs(loss / whole[i] - 1)).toBeLessThan(0.04);
    });

    test('a value beyond the range of f16 stops the update, and nothing is lost', async () => {
      const training = new Training(device, { model: { activations: 'f16', embeddingDeviation: 1e6 } });
      const before = await training.weights();
      await training.step(1);
      await expect(training.optimizer.report()).rejects.toThrow(/NaN|finite/);
      expect(await training.weights()).toEqual(before);
    });

    test('an adapter and a ReLU behind it keep the storage', async () => {
      await step(async () => {
        const linear = new Linear(8, 4, { device, random: new Random(1) });
        linear.adapter = new LoRAAdapter(linear.weight, { rank: 2, alpha: 6, random: new Random(2) });
        const state = await linear.stateDict();
        state['adapter.b'].data.fill(0.3);
        linear.loadStateDict(state);
        for (const parameter of linear.parameters()) releaseLater(parameter);
        const x = random([3, 8], { seed: 1, device, dtype: 'f16' });
        const residual = random([3, 4], { seed: 2, device, dtype: 'f16' });
        const result = noGrad(() => linear.call(x, { residual, activation: 'relu' }));
        expect(result.dtype).toBe('f16');
        const plain = noGrad(() => linear.call(cast(x, 'f32')).add(cast(residual, 'f32')).relu());
        await expectClose(result, plain, { absolute: 2e-3, relative: 2e-3 });
      });
    });

    test('parameters are not stored in f16', () => {
      const make = () => new Parameter(zeros([2], { device, dtype: 'f16' }), 'weight');
      expect(make).toThrow(DTypeError);
      expect(make).toThrow('Parameter: weight has dtype f16 (allowed: f32, f64; values between layers may be f16)');
    });

    test('a steady step makes no buffer, bind group or pipeline', async () => {
      const training = new Training(device, { model: { activations: 'f16' } });
      for (let s = 1; s <= 3; s++) await training.step(s);
      const before = { ...device.made, pipelines: device.pipelineCount };
      await training.step(4);
      await training.step(5);
      const { submissions, ...made } = { ...device.made, pipelines: device.pipelineCount };
      expect({ ...made, submissions: before.submissions }).toEqual(before);
      expect(submissions - before.submissions).toBe(2);
    });
  });
});

test('a device without f16 is refused before anything is made', () => {
  const before = cpu.memory();
  expect(() => tinyModel(cpu, { activations: 'f16' })).toThrow('Transformer: dtype f16 is not available on cpu');
  expect(cpu.memory()).toEqual(before);
});
