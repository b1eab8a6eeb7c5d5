import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { onEachDevice } from '../devices.ts';
import { runs } from '../shapes.ts';
import { operationNames, programs, runProgram } from './program.ts';

test('programs draw from every operation that is exported', () => {
  const index = readFileSync(new URL('../../src/index.ts', import.meta.url), 'utf8');
  const from = index.matchAll(/^export \{([^}]*)\} from '\.\/(?:autograd\/operations|tensor\/create)[^']*';/gms);
  const named = [...from].flatMap(([, list]) => list.split(',').map((name) => name.trim()));
  const exported = named.filter((name) => /^[a-z]/.test(name) && !name.startsWith('type '));
  expect(exported.length).toBeGreaterThan(45);
  const others = ['defaultDevice', 'setDefaultDevice'];
  expect(exported.filter((name) => !operationNames.has(name) && !others.includes(name))).toEqual([]);
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
