import { existsSync } from 'node:fs';
import type { BenchDevice } from './options.ts';
import type { Measurement } from './perform.ts';

export const ours = 'frostgrad';
/** Of the peers' WebGPU rows: their own way to wait for the device takes a core from a software adapter. */
export const shipped = 'as shipped';
/** frostgrad's way to wait patched into Dawn, so that what is left is their own. */
export const patched = 'polite wait';

const peersFolder = new URL('peers/', import.meta.url);

export const peersAreInstalled = () => existsSync(new URL('node_modules', peersFolder));

/**
 * jax-js and TensorFlow.js by their scripts `<name><suffix>.mjs`: on `webgpu` both ways, the patched ones first (where Mesa
 * has yet to compile for a peer, waiting politely leaves it both cores to do so); beside our `cpu` their WebAssembly.
 */
export function peerMeasurements(device: BenchDevice, suffix: string, secondsAllowed: number): Measurement[] {
  const peer = (name: string, on: string, waiting?: typeof shipped | typeof patched): Measurement => ({
    implementation: waiting ? `${name}, ${waiting}` : name,
    device: on,
    script: new URL(`${name}${suffix}.mjs`, peersFolder),
    arguments: [on, waiting === patched ? 'polite' : 'shipped'],
    secondsAllowed,
  });
  const names = ['jax-js', 'tfjs'];
  if (device === 'cpu') return names.map((name) => peer(name, 'wasm'));
  return ([patched, shipped] as const).flatMap((waiting) => names.map((name) => peer(name, 'webgpu', waiting)));
}
