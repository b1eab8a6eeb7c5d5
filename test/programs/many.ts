/** Many random programs, with what went wrong: `node scripts/run.mjs test/programs/many.ts [COUNT]`, 5,000 by default on each device. */
import fc from 'fast-check';
import { openDevice } from '../../src/index.ts';
import { programs, runProgram } from './program.ts';

const count = Number(process.argv[2] ?? 5000);
for (const kind of ['cpu', 'webgpu'] as const) {
  const device = await openDevice(kind);
  const wrong = new Map<string, number>();
  let [values, refused] = [0, 0];
  for (const seeds of fc.sample(programs, { numRuns: count, seed: Number(process.argv[3] ?? 1) })) {
    try {
      const outcome = await runProgram(seeds, device);
      values += outcome.values;
      refused += outcome.refused;
    } catch (error) {
      const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      wrong.set(text, (wrong.get(text) ?? 0) + 1);
    }
  }
  console.log(
    `${device.kind}: ${count} programs, ${values} operations as in f64, ${refused} refused by name, ${wrong.size} wrong`,
  );
  for (const [text] of wrong) console.log(`  ${text}`);
  process.exitCode ||= wrong.size > 0 ? 1 : 0;
}
