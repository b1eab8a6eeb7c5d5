import { spawnSync } from 'node:child_process';
import type { BenchDevice } from './options.ts';
import type { Measurement } from './perform.ts';

/** The Python that is asked for PyTorch. */
export const python = process.env.PYTHON ?? 'python3';

export const pyTorchModes = ['eager', 'compiled'] as const;

let found: 'cuda' | 'cpu' | null | undefined;

/** What PyTorch would run on here; null where Python has none. Asked once, which takes some seconds. */
export function pyTorchDevice(): 'cuda' | 'cpu' | null {
  if (found === undefined) {
    const question = "import torch; print('cuda' if torch.cuda.is_available() else 'cpu')";
    const { status, stdout } = spawnSync(python, ['-c', question], { encoding: 'utf8', timeout: 60_000 });
    found = status === 0 ? (stdout.trim().endsWith('cuda') ? 'cuda' : 'cpu') : null;
  }
  return found;
}

/** PyTorch both ways, on the graphics card beside our `webgpu`, without one beside our `cpu`. */
export function pyTorchMeasurements(
  devices: readonly BenchDevice[],
  what: string,
  secondsAllowed: number,
): Measurement[] {
  const device = pyTorchDevice();
  if (device === null || !devices.includes(device === 'cuda' ? 'webgpu' : 'cpu')) return [];
  return pyTorchModes.map((mode) => ({
    implementation: pyTorchName(mode),
    device,
    script: new URL('peers/pytorch.mjs', import.meta.url),
    arguments: [mode, what, device],
    secondsAllowed,
  }));
}

export function pyTorchName(mode: (typeof pyTorchModes)[number]): string {
  return `PyTorch, ${mode}`;
}
