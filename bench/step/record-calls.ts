import type { Device, KernelCall } from '../../src/tensor/device.ts';

export interface RecordedCall {
  call: KernelCall;
  /** Time of the call itself: all of the work on `cpu`, only its encoding on `webgpu`. */
  milliseconds: number;
}

/** The kernel calls that `body` makes on `device`, in order. */
export async function recordCalls(device: Device, body: () => Promise<unknown>): Promise<RecordedCall[]> {
  const recorded: RecordedCall[] = [];
  const run = device.run;
  device.run = (call) => {
    const start = performance.now();
    run.call(device, call);
    recorded.push({ call, milliseconds: performance.now() - start });
  };
  try {
    await body();
  } finally {
    device.run = run;
  }
  return recorded;
}
