/** Who is measured beside frostgrad, and how: jax-js and TensorFlow.js where bench/peers is installed, PyTorch where Python has it. */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Measurement } from './child.ts';
import type { BenchDevice, Peers } from './suite.ts';

export const ours = 'frostgrad';
/** A peer on WebGPU as npm installs it. While a value is read back, Dawn polls at full speed and takes a core. */
export const asShipped = 'as shipped';
/** The same with frostgrad's way to wait patched into Dawn: it sleeps up to a millisecond between two polls. */
export const politeWait = 'polite wait';

const folder = new URL('peers/', import.meta.url);

export const peersAreInstalled = () => existsSync(new URL('node_modules', folder));

/**
 * On `webgpu` the peers run both ways, the polite one first: it leaves Mesa both cores to compile for them. Beside our `cpu`
 * their WebAssembly is measured, and PyTorch where it has no graphics card; where it has one, that is beside our `webgpu`.
 */
export function peerMeasurements(
  peers: Peers,
  devices: readonly BenchDevice[],
  only: BenchDevice | null,
): Measurement[] {
  const { suffix, onlyAsShipped, pyTorch = [], onlyEager } = peers;
  const measurement = (implementation: string, device: string, script: string, argv: string[]): Measurement => ({
    ...{ implementation, device, title: `${implementation} on ${device}` },
    ...{ script: new URL(script, folder), arguments: argv },
  });
  const names = suffix !== undefined && peersAreInstalled() ? ['jax-js', 'tfjs'] : [];
  const inJavaScript = devices.flatMap((device) => {
    const on = device === 'cpu' ? 'wasm' : device;
    const waits = device === 'cpu' ? [null] : onlyAsShipped ? [asShipped] : [politeWait, asShipped];
    return waits.flatMap((wait) =>
      names.map((name) => {
        const argv = [on, wait === politeWait ? 'polite' : 'shipped'];
        return measurement(wait === null ? name : `${name}, ${wait}`, on, `${name}${suffix}.mjs`, argv);
      }),
    );
  });
  const found = pyTorch.length > 0 ? pyTorchDevice() : null;
  if (found === null || (only !== null && only !== (found === 'cuda' ? 'webgpu' : 'cpu'))) return inJavaScript;
  const inPython = pyTorch.flatMap((what) =>
    (onlyEager ? ['eager'] : ['eager', 'compiled']).map((mode) =>
      measurement(`PyTorch, ${mode}`, found, 'pytorch.mjs', [mode, what, found]),
    ),
  );
  return [...inJavaScript, ...inPython];
}

/** The Python that is asked for PyTorch. */
export const python = process.env.PYTHON ?? 'python3';

/** What PyTorch would run on here; null where Python has none. Asking takes some seconds. */
function pyTorchDevice(): 'cuda' | 'cpu' | null {
  const question = "import torch; print('cuda' if torch.cuda.is_available() else 'cpu')";
  const { status, stdout } = spawnSync(python, ['-c', question], { encoding: 'utf8', timeout: 60_000 });
  if (status !== 0) return null;
  return stdout.trim().endsWith('cuda') ? 'cuda' : 'cpu';
}
