/** Many of the random programs that the tests run a few hundred of. */
import fc from 'fast-check';
import type { Device } from '../../src/index.ts';
import { programs, runProgram } from '../programs/program.ts';

export interface Programs {
  readonly device: string;
  programs: number;
  /** Operations that gave what the plain loops give in f64, and those that both refused by the same named error. */
  values: number;
  refused: number;
  /** In words, each once; none where all is well. */
  readonly faults: string[];
}

/** @param onProgram called after every program. */
export async function runPrograms(
  count: number,
  { device, seed, onProgram }: { device: Device; seed: number; onProgram?(done: number): void },
): Promise<Programs> {
  const found: Programs = { device: device.kind, programs: 0, values: 0, refused: 0, faults: [] };
  for (const seeds of fc.sample(programs, { numRuns: count, seed })) {
    try {
      const { values, refused } = await runProgram(seeds, device);
      found.values += values;
      found.refused += refused;
    } catch (error) {
      const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      if (!found.faults.includes(text)) found.faults.push(text);
    }
    found.programs++;
    onProgram?.(found.programs);
  }
  return found;
}
