import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import {
  type Device,
  forget,
  keep,
  type MemoryReport,
  noGrad,
  normal,
  Random,
  requireGradient,
  step,
} from '../../src/index.ts';
import { WebGpuDevice } from '../../src/tensor/webgpu/webgpu-device.ts';
import { onEachDevice, onWebGpu, ownDevices } from '../devices.ts';

/** One step of training a small model without any call that releases something, and now and then an evaluation. */
function makeTraining(device: Device) {
  const random = new Random(1);
  const target = normal([8, 4], { random, device });
  const names = ['first', 'bias', 'second'];
  let weights = [[4, 8], [8], [8, 4]].map((shape, i) => keep(names[i], normal(shape, { random, device })));
  const forward = () => {
    const x = normal([8, 4], { random, device });
    const [first, bias, second] = weights;
    const hidden = x.matmul(first, bias).tanh().reshape([2, 4, 8]).permute([1, 0, 2]).reshape([8, 8]);
    return hidden.matmul(second).sub(target).pow(2).mean();
  };
  const train = () => {
    for (const weight of weights) requireGradient(weight);
    const loss = forward();
    loss.backward();
    weights = weights.map((weight, i) => keep(names[i], weight.sub(weight.gradient?.mul(0.01) ?? 0)));
    return loss;
  };
  return {
    async run(i: number): Promise<number | null> {
      if (i % 10 === 5) return await step(() => noGrad(async () => await forward().item()));
      if (i % 10 === 7) return await step(async () => await train().item());
      await step(train);
      return null;
    },
    end() {
      for (const name of names) forget(name);
    },
  };
}

onEachDevice(
  (device) => {
    test('2,000 steps leave memory where it was after 10', async () => {
      const training = makeTraining(device);
      const made = () => (device instanceof WebGpuDevice ? { ...device.made, submissions: 0 } : null);
      const ledger = (): [MemoryReport, unknown] => [device.memory(), made()];
      device.resetPeak();
      let losses: number[] = [];
      const run = async (from: number, to: number) => {
        losses = [];
        for (let i = from; i < to; i++) {
          const loss = await training.run(i);
          if (loss !== null) losses.push(loss);
        }
        return losses;
      };
      const [early] = await run(0, 10);
      const afterTen = ledger();
      const late = await run(10, 2000);
      expect(ledger()).toEqual(afterTen);
      expect(late.every(Number.isFinite)).toBe(true);
      expect(late[late.length - 1]).toBeLessThan(early);
      training.end();
    });

    test('a timer fires in a loop that never awaits a value', async () => {
      let fired = false;
      const timer = setTimeout(() => {
        fired = true;
      }, 1);
      const x = normal([8, 8], { random: new Random(1), device });
      const end = Date.now() + 5000;
      while (!fired && Date.now() < end) await step(() => x.matmul(x).tanh());
      clearTimeout(timer);
      expect(fired).toBe(true);
    });

    test('a loop that never awaits a value hears Ctrl-C', async () => {
      const script = fileURLToPath(new URL('endless-loop.ts', import.meta.url));
      const child = spawn(process.execPath, ['--import', 'tsx', script, device.kind], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const emergency = setTimeout(() => child.kill('SIGKILL'), 30_000);
      let output = '';
      let interrupted = 0;
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        output += text;
        if (interrupted > 0 || !output.includes('running')) return;
        interrupted = Date.now();
        child.kill('SIGINT');
      });
      const ended = await new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
      clearTimeout(emergency);
      expect(output).toMatch(/stopped after \d+ steps/);
      expect(ended).toEqual({ code: 7, signal: null });
      expect(Date.now() - interrupted).toBeLessThan(10_000);
    });
  },
  await ownDevices(),
);

onWebGpu((webgpu) => {
  test('a loop that never awaits a value is held to two steps in flight, and to none on a software adapter', async () => {
    const { queue } = webgpu.gpu;
    const onSubmittedWorkDone = queue.onSubmittedWorkDone.bind(queue);
    let [begun, done, most] = [0, 0, 0];
    const counted: typeof queue.onSubmittedWorkDone = async () => {
      begun++;
      await onSubmittedWorkDone();
      done++;
      return undefined;
    };
    Object.defineProperty(queue, 'onSubmittedWorkDone', { value: counted, configurable: true });
    try {
      const x = normal([256, 256], { random: new Random(1), deviation: 0.05, device: webgpu });
      await webgpu.synchronize();
      [begun, done] = [0, 0];
      for (let i = 0; i < 20; i++) {
        await step(() => x.matmul(x).matmul(x));
        most = Math.max(most, begun - done);
      }
      expect(begun).toBe(20);
      expect(most).toBeLessThanOrEqual(webgpu.software ? 0 : 2);
    } finally {
      Reflect.deleteProperty(queue, 'onSubmittedWorkDone');
    }
    await webgpu.synchronize();
  });
});
