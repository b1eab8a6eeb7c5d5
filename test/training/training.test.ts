import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import {
  AdamW,
  ArgumentError,
  addLoRA,
  backward,
  crossEntropy,
  type Device,
  type Policy,
  Random,
  readCheckpoint,
  type Saved,
  step,
  Training,
  writeCheckpoint,
} from '../../src/index.ts';
import { platform } from '../../src/tensor/platform/platform.ts';
import { cpu, onEachDevice, webgpu } from '../devices.ts';
import { tinyBatch, tinyModel } from '../nn/tiny.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { makeResumable, rules, STEPS } from './resumable.ts';

function plainTraining(device: Device, options: Partial<ConstructorParameters<typeof Training>[0]> = {}) {
  const model = tinyModel(device);
  const optimizer = new AdamW(model.parameters(), { learningRate: 0.01, maxGradientNorm: 0.5 });
  const loss = (s: number) => {
    const { tokens, targets } = tinyBatch(device, s);
    return crossEntropy(model.call(tokens), targets);
  };
  return { model, optimizer, loss, training: new Training({ model, optimizer, steps: 4, loss, ...options }) };
}

onEachDevice((device) => {
  test('a step is what the loop written out does, bit for bit', async () => {
    const schedule = (s: number) => 0.01 / s;
    const { training, model } = plainTraining(device, { schedule });
    await training.run();
    const byHand = plainTraining(device);
    for (let s = 1; s <= 4; s++) {
      await step(() => {
        const loss = byHand.loss(s);
        backward(loss);
        byHand.optimizer.learningRate = schedule(s);
        byHand.optimizer.step(loss);
      });
    }
    expect(await model.stateDict()).toEqual(await byHand.model.stateDict());
    expect(await training.loss()).toBe((await byHand.optimizer.report()).loss);
    const { forward, backward: ofBackward, optimizer } = training.operations;
    expect(Math.min(forward, ofBackward, optimizer)).toBeGreaterThan(0);
  });

  test('a run that a policy ends without having learned anything says so, also after a resume; others do not', async () => {
    const warned = vi.spyOn(platform, 'warn').mockImplementation(() => {});
    const ended = (factor: (s: number) => number) => {
      const { model, optimizer, loss } = plainTraining(device);
      const policy: Policy = {
        get finished() {
          return training.step >= 3;
        },
      };
      const scaled = (s: number) => loss(1).mul(factor(s));
      const training = new Training({ model, optimizer, steps: 9, loss: scaled, policies: [policy] });
      return training;
    };
    await ended(() => 1).run();
    expect(warned).not.toHaveBeenCalled();
    let saved: Saved = null;
    const rising = ended((s) => s);
    await rising.run({
      onStep: async ({ step: s }) => {
        if (s === 2) saved = await rising.save();
      },
    });
    const resumed = ended((s) => s);
    await resumed.restore(saved);
    await resumed.run();
    const message = expect.stringMatching(/ended training at step 3 of 9.* is not below that of step 1/);
    expect(warned.mock.calls).toEqual([[message], [message]]);
    warned.mockRestore();
  });

  test('micro-batches come to the gradient and the loss of the whole batch', async () => {
    const whole = plainTraining(device);
    const parts = plainTraining(device, { microBatches: 2 });
    const half = (s: number, microBatch: number) => {
      const { tokens, targets } = tinyBatch(device, s);
      const rows = (x: typeof tokens) => x.slice([2 * microBatch], [2 * microBatch + 2]);
      return crossEntropy(parts.model.call(rows(tokens)), rows(targets)).div(2);
    };
    const training = new Training({ ...parts.training.options, loss: half });
    await whole.training.advance();
    await training.advance();
    const [one, two] = [await whole.optimizer.report(), await parts.optimizer.report()];
    expect(two.loss).toBeCloseTo(one.loss, 5);
    expect(two.gradientNorm).toBeCloseTo(one.gradientNorm, 5);
  });
});

test('hooks are called in their order, and a policy that is finished ends the run', async () => {
  const calls: string[] = [];
  let steps = 0;
  const policy: Policy = {
    get finished() {
      return steps === 2;
    },
    beforeStep: (s) => void calls.push(`before ${s}`),
    afterStep: async (s) => void calls.push(`after ${s}`),
    betweenSteps(s) {
      calls.push(`between ${s}`);
      steps = s;
    },
    end: () => void calls.push('end'),
  };
  const { training } = plainTraining(cpu, { policies: [{}, policy] });
  await training.run({ onStep: (run) => void calls.push(`step ${run.step}`) });
  const ofStep = (s: number) => [`before ${s}`, `after ${s}`, `between ${s}`, `step ${s}`];
  expect(calls).toEqual([...ofStep(1), ...ofStep(2), 'end']);
  expect(training.finished).toBe(true);
});

test('an aborted run ends after the step under way', async () => {
  const controller = new AbortController();
  const { training } = plainTraining(cpu);
  await training.run({ signal: controller.signal, onStep: () => controller.abort() });
  expect(training.step).toBe(1);
});

describe('bad options', () => {
  test.each([
    ['an unknown name', { epochs: 3 }, /no option .epochs. \(allowed: model, optimizer/],
    ['no steps', { steps: 0 }, /steps 0 is out of range/],
    ['half a micro-batch', { microBatches: 0.5 }, /microBatches 0.5 is out of range/],
  ])('%s', (_, options: object, message) => {
    expect(() => plainTraining(cpu, options)).toThrow(ArgumentError);
    expect(() => plainTraining(cpu, options)).toThrow(message);
  });
});

describe('saved after any step and restored elsewhere, a training goes on bit for bit', () => {
  const random = new Random(2026);
  describe.each(Object.keys(rules))('%s', (rule) => {
    test.each([{ adapters: false }, { adapters: true }])('%o', async ({ adapters }) => {
      const whole = makeResumable(cpu, rule, { adapters });
      await whole.advanceTo(STEPS);
      const { training } = whole;
      const expected = await whole.outcome();
      whole.release();
      // The rule has to have acted, or the test shows nothing.
      if (!rule.includes('stop')) expect(training.registry.events.length).toBeGreaterThan(0);
      for (let i = 0; i < 2; i++) {
        const first = makeResumable(cpu, rule, { adapters });
        await first.advanceTo(1 + random.integer(expected.step - 1));
        const saved = await first.training.save();
        // What goes on after saving is of no account to the copy.
        await first.advanceTo(first.training.step + 2);
        const second = makeResumable(cpu, rule, { adapters });
        await second.training.restore(saved);
        const at = second.training.step;
        await second.advanceTo(STEPS);
        const resumed = await second.outcome();
        expect({ ...resumed, losses: [...expected.losses.slice(0, at), ...resumed.losses] }).toEqual(expected);
        for (const each of [first, second]) each.release();
      }
    });
  });
});

const script = fileURLToPath(new URL('resume.ts', import.meta.url));
const tsx = createRequire(import.meta.url).resolve('tsx');

describe.each(webgpu ? ['cpu', 'webgpu'] : ['cpu'])('%s', (kind) => {
  test('stopped in one process and resumed in the next from a file, three times', { timeout: 120_000 }, () => {
    const file = join(temporaryFolder(), 'checkpoint.safetensors');
    const run = (from: number, to: number) => {
      const child = spawnSync(process.execPath, ['--import', tsx, script, kind, file, String(from), String(to)], {
        encoding: 'utf8',
      });
      expect(child.stderr.replaceAll(/^Warning: .*\n/gm, '')).toBe('');
      return JSON.parse(child.stdout);
    };
    const whole = run(0, STEPS);
    const random = new Random(7, kind === 'cpu' ? 1 : 2);
    const last = whole.losses.length - 1;
    const stops = Array.from({ length: 3 }, () => 1 + random.integer(last)).sort((a, b) => a - b);
    const parts = [0, ...stops].map((from, i) => run(from, stops[i] ?? STEPS));
    expect(parts.flatMap(({ losses }) => losses)).toEqual(whole.losses);
    expect(parts.at(-1)).toMatchObject({ events: whole.events, digest: whole.digest });
    expect(whole.events.length).toBeGreaterThan(0);
  });
});

test('a checkpoint of another training is refused, and changes nothing', async () => {
  const { training, model } = plainTraining(cpu);
  const other = plainTraining(cpu, { policies: [{}] });
  const before = await model.stateDict();
  await other.training.advance();
  await expect(training.restore(await other.training.save())).rejects.toThrow(/has 1 policies, this training 0/);
  const noise = new Random(1);
  const drawing = plainTraining(cpu, { state: { noise } });
  await expect(drawing.training.restore(await training.save())).rejects.toThrow(/no state of noise/);
  await expect(training.restore({ step: 3 })).rejects.toThrow(/checkpoint/);
  expect(await model.stateDict()).toEqual(before);
});

test('what is named as the base stays out of the checkpoint, which goes with no other', async () => {
  const adapted = (base: string) => {
    const made = plainTraining(cpu);
    addLoRA(made.model, { rank: 2, random: new Random(3) });
    const optimizer = new AdamW(
      made.model.parameters().filter(({ isFrozen }) => !isFrozen),
      { learningRate: 0.01 },
    );
    const training = new Training({ model: made.model, optimizer, steps: 4, loss: made.loss, base });
    return { ...made, training };
  };
  const [first, second, other] = [adapted('a'), adapted('a'), adapted('b')];
  await first.training.advance();
  const saved = await first.training.save();
  const { model: weights } = JSON.parse(JSON.stringify(saved));
  expect(Object.keys(weights).every((name) => name.includes('.adapter.'))).toBe(true);
  await second.training.restore(saved);
  for (const { training } of [first, second]) await training.advance();
  expect(await second.model.stateDict()).toEqual(await first.model.stateDict());
  const before = await other.model.stateDict();
  await expect(other.training.restore(saved)).rejects.toThrow('stands on the base a, this training on b');
  expect(await other.model.stateDict()).toEqual(before);
});

test('a checkpoint file holds the whole state', async () => {
  const file = join(temporaryFolder(), 'checkpoint.safetensors');
  const { training } = plainTraining(cpu);
  await training.advance();
  const saved = await training.save();
  await writeCheckpoint(file, saved);
  expect(await readCheckpoint(file)).toEqual(saved);
});
