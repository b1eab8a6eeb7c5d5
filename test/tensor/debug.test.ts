import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import {
  AdamW,
  attention,
  crossEntropy,
  type Device,
  debugReport,
  full,
  GradES,
  NonFiniteValueError,
  Parameter,
  ParameterRegistry,
  step,
  Training,
  tensor,
} from '../../src/index.ts';
import { CpuDevice } from '../../src/tensor/cpu/cpu-device.ts';
import { fromBFloat16 } from '../../src/tensor/create.ts';
import { debug } from '../../src/tensor/debug.ts';
import { WebGpuDevice } from '../../src/tensor/webgpu/webgpu-device.ts';
import { onEachDevice, webgpu } from '../devices.ts';
import { tinyBatch, tinyModel } from '../nn/tiny.ts';
import { temporaryFolder } from '../temporary-folder.ts';

/** Debugged ones of the suite's own. */
const devices = { cpu: new CpuDevice(), webgpu: webgpu && (await WebGpuDevice.open()) };
for (const device of Object.values(devices)) if (device) debug(device);

async function broken(device: Device, body: (x: ReturnType<typeof tensor>) => unknown): Promise<unknown> {
  const x = tensor([1, -4], { device });
  try {
    await step(() => void body(x));
  } catch (error) {
    return error;
  } finally {
    x.release();
  }
  return null;
}

onEachDevice((device) => {
  test('a training is what it is without, and nothing is found', async () => {
    const train = async (on: Device) => {
      const model = tinyModel(on);
      const optimizer = new AdamW(model.parameters(), { learningRate: 0.01, maxGradientNorm: 0.5 });
      const registry = new ParameterRegistry(model);
      const policies = [new GradES(registry, optimizer, { steps: 4 })];
      const loss = (s: number) => {
        const { tokens, targets } = tinyBatch(on, s);
        return crossEntropy(model.call(tokens), targets);
      };
      await new Training({ model, optimizer, steps: 4, registry, policies, loss }).run();
      return model.stateDict();
    };
    const plain = device.kind === 'cpu' ? new CpuDevice() : webgpu;
    expect(plain && (await train(plain))).toEqual(await train(device));
    const [longest] = debugReport(device).operations;
    expect(longest.calls).toBeGreaterThan(0);
    expect(longest.milliseconds).toBeGreaterThan(0);
  });

  test('infinite values that were given are no fault of who hands them on', async () => {
    await step(async () => {
      const q = full([1, 2, 1, 4], 0.5, { device });
      const mask = tensor(
        [
          [0, Number.NEGATIVE_INFINITY],
          [0, 0],
        ],
        { device },
      );
      expect(await attention(q, q, q, { mask }).sum().item()).toBeCloseTo(4);
      expect(await tensor([Number.NaN, 1], { device }).mul(2).data()).toEqual(Float32Array.of(Number.NaN, 2));
    });
  });

  test('nor are those that weights hold in bf16, read from a file or rounded', async () => {
    await step(async () => {
      const weights = [Number.NaN, Number.NEGATIVE_INFINITY, 1, 1];
      const read = fromBFloat16(Uint16Array.from([0x7fc0, 0xff80, 0x3f80, 0x3f80]), {
        device,
        shape: [2, 2],
        name: 'w',
      });
      for (const w of [read, tensor(weights, { device, shape: [2, 2] }).cast('bf16')]) {
        const [first, second] = await tensor([[1, 1]], { device })
          .matmul(w)
          .data();
        expect([first, second]).toEqual([Number.NaN, Number.NEGATIVE_INFINITY]);
      }
    });
  });

  test('live tensors are listed by the line that made them, until they are gone', () => {
    const line = () =>
      debugReport(device).live.find(({ line, bytes }) => line.includes('debug.test.ts') && bytes === 4004);
    const kept = full([1001], 1, { device });
    expect(line()).toMatchObject({ operation: 'full', tensors: 1 });
    kept.release();
    expect(line()).toBeUndefined();
  });

  test('gradients whose squares f32 cannot hold are no fault: they are clipped', async () => {
    const w = new Parameter(tensor([1, 2], { device }), 'weight');
    const optimizer = new AdamW([w], { learningRate: 0.01, maxGradientNorm: 1 });
    const trained = step(() => {
      const loss = w.mul(1e30).sum();
      loss.backward();
      optimizer.step(loss);
    });
    await expect(trained).resolves.toBeUndefined();
    optimizer.release();
    w.release();
  });

  // Last: what is broken stays told.
  test('of a gradient that is infinite, the parameter is named as well as the operation', async () => {
    const own = device.kind === 'cpu' ? new CpuDevice() : await WebGpuDevice.open();
    debug(own);
    const w = new Parameter(tensor([[1e-20, 1e-20]], { device: own }), 'weight');
    w.rename('blocks.1.output.weight');
    const pass = step(() => {
      const x = tensor([[1e20]], { device: own });
      x.matmul(w).mul(1e20).sum().backward();
    });
    await expect(pass).rejects.toThrow(
      /^matmul for the gradient of blocks\.1\.output\.weight: gave infinite values that were in none of its operands/,
    );
  });

  test('the first operation that makes NaN is named with its operands and the line', async () => {
    const error = await broken(device, (x) => x.exp().add(x.log()).sum());
    expect(error).toBeInstanceOf(NonFiniteValueError);
    expect(error).toMatchObject({
      operation: 'log',
      message: expect.stringMatching(
        /^log: gave NaN .*\(x f32 \[2\], result f32 \[2\]\), called at .*debug\.test\.ts:\d+:\d+$/,
      ),
    });
  });
}, devices);

test('FROSTGRAD_DEBUG=1 switches it on, and the process ends with a report', () => {
  const folder = temporaryFolder();
  const library = fileURLToPath(new URL('../../src/index.ts', import.meta.url));
  const script = join(folder, 'script.mts');
  writeFileSync(
    script,
    `import { tensor, step } from ${JSON.stringify(library)};
await step(async () => { await tensor([-1]).sqrt().sum().item(); }).catch((error) => console.log(error.message));`,
  );
  const tsx = createRequire(import.meta.url).resolve('tsx');
  const run = (value: string) =>
    execFileSync(process.execPath, ['--import', tsx, script], {
      env: { ...process.env, FROSTGRAD_DEBUG: value },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  expect(run('1')).toContain('sqrt: gave NaN');
  expect(run('0')).toBe('');
});
