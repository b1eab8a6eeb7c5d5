import { ours } from '../implementations.ts';
import type { BenchDevice } from '../options.ts';
import type { Measurement } from '../perform.ts';

const oursScript = new URL('ours.ts', import.meta.url);

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
