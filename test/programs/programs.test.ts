import fc from 'fast-check';
import { expect, test } from 'vitest';
import { onEachDevice } from '../devices.ts';
import { exportedOperations } from '../exported.ts';
import { runs } from '../shapes.ts';
import { operationNames, programs, runProgram } from './program.ts';

test('programs draw from every operation that is exported', () => {
  const exported = exportedOperations();
  expect(exported.length).toBeGreaterThan(90);
  expect(exported.filter((name) => !operationNames.has(name))).toEqual([]);
});

onEachDevice((device) => {
  test('random programs give what f64 gives, or a named error', async () => {
    let [values, refused] = [0, 0];
    const property = fc.asyncProperty(programs, async (seeds) => {
      const outcome = await runProgram(seeds, device);
      values += outcome.values;
      refused += outcome.refused;
    });
    await fc.assert(property, runs(300));
    expect(values).toBeGreaterThan(150);
    expect(refused).toBeGreaterThan(100);
  });
});
