import type { ChildOptions } from '../child.ts';
import type { BenchDevice } from '../options.ts';

/** Something that one child process measures. */
export interface Measurement extends Omit<ChildOptions, 'onProgress'> {
  implementation: string;
  device: string;
}

const oursScript = new URL('ours.ts', import.meta.url);
const peersFolder = new URL('../peers/', import.meta.url);

export const ours = 'frostgrad';
/** Of the peers' WebGPU rows: their own way to wait for the device takes a core from a software adapter. */
export const shipped = 'as shipped';
export const patched = 'polite wait';

/** The first step of a process; Mesa must not find what it compiled for an earlier one. */
export function coldMeasurement(device: BenchDevice, quick: boolean): Measurement {
  return {
    implementation: ours,
    device,
    script: oursScript,
    arguments: [device, 'cold', 'full'],
    environment: { MESA_SHADER_CACHE_DISABLE: 'true' },
    secondsAllowed: quick ? 20 : 60,
  };
}

export function warmMeasurement(device: BenchDevice, quick: boolean): Measurement {
  return {
    implementation: ours,
    device,
    script: oursScript,
    arguments: [device, 'warm', quick ? 'quick' : 'full'],
    secondsAllowed: 150,
  };
}

/** The peers as shipped. */
export function peerMeasurements(device: BenchDevice): Measurement[] {
  return device === 'cpu'
    ? [peer('jax-js', 'wasm'), peer('tfjs', 'wasm')]
    : [peer('jax-js', 'webgpu', shipped), peer('tfjs', 'webgpu', shipped)];
}

/** The peers with frostgrad's way to wait patched into Dawn, so that what is left is their own. */
export function patchedPeerMeasurements(device: BenchDevice): Measurement[] {
  return device === 'cpu' ? [] : [peer('jax-js', 'webgpu', patched), peer('tfjs', 'webgpu', patched)];
}

function peer(name: 'jax-js' | 'tfjs', device: string, waiting?: typeof shipped | typeof patched): Measurement {
  return {
    implementation: waiting ? `${name}, ${waiting}` : name,
    device,
    script: new URL(`${name}.mjs`, peersFolder),
    arguments: [device, waiting === patched ? 'polite' : 'shipped'],
    // Mesa compiles for jax-js for 36 to 50 s, the first time on a machine.
    secondsAllowed: 150,
  };
}
