import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import {
  attention,
  backward,
  type Device,
  DeviceError,
  DeviceLimitError,
  DeviceMismatchError,
  gradientOf,
  matmul,
  OutOfMemoryError,
  openDevice,
  requireGradient,
  reshape,
  snapshotWork,
  step,
  sum,
  tensor,
  workSince,
  zeros,
} from '../../src/index.ts';
import { copyInto } from '../../src/tensor/copy.ts';
import { CpuDevice } from '../../src/tensor/cpu/cpu-device.ts';
import { dispatch } from '../../src/tensor/dispatch.ts';
import { type Access, flatWorkgroups, type Kernel, kernel } from '../../src/tensor/kernel.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { findAdapter } from '../../src/tensor/webgpu/adapter.ts';
import { WebGpuDevice } from '../../src/tensor/webgpu/webgpu-device.ts';
import { cpu, onEachDevice, onWebGpu, reference } from '../devices.ts';
import { expectClose, random } from '../shapes.ts';

/** A kernel over `count` buffers, `result` and others, that writes nothing. */
function idleKernel(count: number, functions = ''): Kernel<string, 'count' | 'value'> {
  const operands: Record<string, Access> = { result: 'write' };
  for (let i = 1; i < count; i++) operands[`unused${i}`] = 'write';
  return kernel({
    name: 'idle',
    operands,
    scalars: { count: 'u32', value: 'f32' },
    wgsl: { file: 'fill', constants: { WORKGROUP_SIZE: '1u', ELEMENTS: '1u' }, functions },
    reference: () => {},
  });
}

function runIdle(kernel: Kernel<string, 'count' | 'value'>, x: Tensor, groups = 1): void {
  const operands = Object.fromEntries(kernel.operandNames.map((name) => [name, x]));
  dispatch(kernel, { operands, scalars: { count: 0, value: 0 }, workgroups: [groups, 1, 1], flops: 0 });
}

onEachDevice((device) => {
  test('work is counted by kernel, with its operations', async () => {
    await step(() => {
      const x = random([10], { seed: 1, device });
      const before = snapshotWork(device);
      x.exp();
      x.exp().add(1);
      expect(workSince(device, before)).toEqual({
        dispatches: new Map([
          ['exp', 2],
          ['add', 1],
        ]),
        totalDispatches: 3,
        flops: 30,
      });
      expect(workSince(device, snapshotWork(device))).toEqual({ dispatches: new Map(), totalDispatches: 0, flops: 0 });
    });
  });

  test('a buffer used again does not change what was computed from its last tensor', async () => {
    await step(async () => {
      const x = tensor([1, 2, 3], { device });
      const doubled = x.mul(2);
      const { id } = x.storage.buffer;
      x.release();
      // Recorded above, not yet submitted; the upload must not overtake it.
      const y = tensor([10, 20, 30], { device });
      expect(y.storage.buffer.id).toBe(id);
      expect(await doubled.toArray()).toEqual([2, 4, 6]);
      expect(await y.toArray()).toEqual([10, 20, 30]);
    });
  });

  test('trim leaves live tensors and recorded work alone, and reserves nothing else', async () => {
    await step(async () => {
      const x = random([1000], { seed: 1, device });
      const y = x.mul(3);
      const expected = await x.mul(3).data();
      x.exp().release();
      x.release();
      device.trim();
      const { liveBuffers, reservedBuffers, liveBytes, reservedBytes } = device.memory();
      expect(reservedBuffers).toBe(liveBuffers);
      expect(reservedBytes - liveBytes).toBeLessThan(256 * liveBuffers);
      expect(await y.data()).toEqual(expected);
      expect(await y.exp().log().sub(y).max().item()).toBeLessThan(1e-5);
    });
  });

  test('what does not fit is told with operation, tensor, and bytes', async () => {
    const small = await openDevice(device.kind, { memoryBudget: 1e6 });
    const x = zeros([600, 1], { device: small });
    const message =
      'add: a buffer of 1440000 bytes does not fit: tensors hold 2400 bytes, 2560 are reserved, and the budget is 1000000; ' +
      `it is for a tensor f32 [600, 600] on ${device.kind}. Outside of step() memory comes back with tensor.release(), or some time ` +
      'after a value is read: put the body of a loop in step()';
    expect(() => x.add(x.reshape([1, 600]))).toThrow(new OutOfMemoryError(message));
  });

  test('operands of two devices are refused where a kernel meets them', () => {
    const other = new CpuDevice();
    const x = tensor([1, 2], { device });
    const target = zeros([2], { device: other });
    expect(() => copyInto(x, target, [1])).toThrow(DeviceMismatchError);
    expect(() => copyInto(x, target, [1])).toThrow(`strided-copy: one operand is [2] on ${device.kind}`);
  });
});

test('memory that the machine does not have is told like a budget', () => {
  const device = new CpuDevice({ memoryBudget: 2 ** 50 });
  const message =
    /^zeros: a buffer of 35184372088832 bytes does not fit: .* the machine gives no more .* f32 \[8796093022208\] on cpu/;
  expect(() => zeros([2 ** 43], { device })).toThrow(OutOfMemoryError);
  expect(() => zeros([2 ** 43], { device })).toThrow(message);
});

test('two devices of one kind are two devices', () => {
  const x = tensor([1, 2], { device: cpu });
  const add = () => x.add(tensor([1, 2], { device: new CpuDevice() }));
  expect(add).toThrow(DeviceMismatchError);
  expect(add).toThrow(/add: one operand is \[2\] on cpu .*, one another device, \[2\] on cpu .*setDefaultDevice/);
});

onEachDevice((device) => {
  test('memory of tensors outside of steps comes back in a loop that reads values', async () => {
    const own = await openDevice(device.kind);
    const x = zeros([2 ** 22], { device: own });
    let most = 0;
    for (let i = 0; i < 60; i++) {
      await x.add(i).slice([0], [1]).item();
      most = Math.max(most, own.memory().liveBytes);
    }
    expect(most).toBeLessThan(40 * 2 ** 24);
  });
});

test('workgroups fold into a second axis, and no further', () => {
  expect(flatWorkgroups(0, 64)).toEqual([0, 1, 1]);
  expect(flatWorkgroups(65, 64)).toEqual([2, 1, 1]);
  expect(flatWorkgroups(65_535, 1)).toEqual([65_535, 1, 1]);
  expect(flatWorkgroups(65_536, 1)).toEqual([65_535, 2, 1]);
  expect(() => flatWorkgroups(65_535 ** 2 + 1, 1)).toThrow(DeviceLimitError);
});

onWebGpu((webgpu) => {
  test('what exceeds the limits of the device is refused before anything is allocated', () => {
    const { maxBufferSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage } = webgpu.gpu.limits;
    const limit = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    const before = webgpu.memory();
    const elements = Math.floor(limit / 4) + 1;
    expect(() => zeros([elements], { device: webgpu })).toThrow(DeviceLimitError);
    expect(() => zeros([elements], { device: webgpu })).toThrow(
      `a tensor of ${4 * elements} bytes exceeds what ${webgpu.adapter} binds (${limit} bytes)`,
    );
    expect(webgpu.memory()).toEqual(before);

    const x = zeros([4], { device: webgpu });
    const tooMany = maxStorageBuffersPerShaderStage + 1;
    expect(() => runIdle(idleKernel(tooMany), x)).toThrow(DeviceLimitError);
    expect(() => runIdle(idleKernel(1), x, 65_536 * 16)).toThrow(/idle: 1048576 x 1 x 1 workgroups, but the device/);
  });

  test('a steady step makes neither buffers nor bind groups, and a changed one does', async () => {
    // Of its own: garbage of other suites frees buffers of a shared one.
    const device = await WebGpuDevice.open();
    const x = random([7, 5], { seed: 1, device });
    const run = (rows: number) => step(() => x.slice([0], [rows]).exp().sum({ axes: 1 }).mul(2));
    await run(7);
    await run(6);
    const { buffers, bindGroups } = device.made;
    const pipelines = device.pipelineCount;
    for (let i = 0; i < 3; i++) {
      await run(7);
      await run(6);
    }
    expect([device.made.buffers, device.made.bindGroups]).toEqual([buffers, bindGroups]);
    await step(() => random([1000, 7], { seed: 1, device }).exp().sum({ axes: 1 }).mul(2));
    expect(device.made.bindGroups).toBeGreaterThan(bindGroups);
    expect(device.pipelineCount).toBe(pipelines);
    device.gpu.destroy();
  });

  test('a budget is kept', async () => {
    const device = await WebGpuDevice.open({ memoryBudget: 2048 });
    const x = tensor([1, 2], { device });
    expect(() => zeros([1000], { device })).toThrow(OutOfMemoryError);
    expect(await x.add(1).toArray()).toEqual([2, 3]);
    device.gpu.destroy();
  });

  // Each on a device of its own: a failure stays with the device, since what it computed since then may be wrong.
  const failures: [string, (device: WebGpuDevice) => void, RegExp][] = [
    [
      'a kernel that does not compile',
      (device) => runIdle(idleKernel(1, 'this is no WGSL'), zeros([1], { device })),
      /^the device reported: .*parsing WGSL/,
    ],
    ['the loss of the device', (device) => device.gpu.destroy(), /^the device was lost/],
  ];
  for (const [name, provoke, message] of failures) {
    test(`${name} is thrown at the next await, and at every one after it`, async () => {
      const device = await WebGpuDevice.open();
      const x = tensor([1, 2], { device });
      provoke(device);
      const awaits: ((device: Device) => Promise<unknown>)[] = [
        () => x.data(),
        () => step(() => x.mul(2)),
        (device) => device.synchronize(),
      ];
      for (const wait of awaits) {
        const outcome: unknown = await wait(device).then(
          () => 'passed',
          (error: unknown) => error,
        );
        if (!(outcome instanceof DeviceError)) expect.fail(`no DeviceError, but ${outcome}`);
        expect(outcome.message).toMatch(message);
      }
      device.gpu.destroy();
    });
  }
});

describe('a device that the caller has already', () => {
  onWebGpu(() => {
    test('runs matmul, attention and their gradients with no more than every adapter offers', async () => {
      const { adapter, name } = await findAdapter();
      const gpu = await adapter.requestDevice();
      const device = await openDevice({ gpu });
      expect([device.kind, device.adapter]).toEqual(['webgpu', name]);
      const compute = (on: Device) => {
        const [a, b] = [random([2, 33, 64], { seed: 1, device: on }), random([64, 64], { seed: 2, device: on })];
        const weight = requireGradient(b);
        const heads = reshape(matmul(a, weight), [2, 33, 4, 16]);
        backward(sum(attention(heads, heads, heads, { causal: true })));
        return gradientOf(weight) ?? expect.fail('no gradient');
      };
      await step(() => expectClose(compute(device), compute(reference), { absolute: 1e-3 }));
      gpu.destroy();
    });
  });

  test('is not taken for cpu', async () => {
    const gpu: GPUDevice = JSON.parse('{}');
    await expect(openDevice('cpu', { gpu })).rejects.toThrow("openDevice: a device 'cpu' takes no gpu");
  });
});

// Elsewhere no variable hides the driver.
test.skipIf(process.platform !== 'linux')('without an adapter, webgpu is refused by name and auto takes cpu', () => {
  const script = `
    const { openDevice } = await import(${JSON.stringify(new URL('../../src/index.ts', import.meta.url).href)});
    const { kind } = await openDevice('auto');
    const error = await openDevice('webgpu').catch((error) => error);
    console.log(JSON.stringify([kind, error.name, error.message]));
  `;
  const { stdout } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script], {
    encoding: 'utf8',
    env: { ...process.env, VK_DRIVER_FILES: '/nonexistent' },
  });
  const answer = stdout.split('\n').find((line) => line.startsWith('["'));
  expect(JSON.parse(answer ?? 'null')).toEqual([
    'cpu',
    'NoAdapterError',
    'WebGPU found no adapter: no Vulkan, Metal or Direct3D 12 driver it can use',
  ]);
});
