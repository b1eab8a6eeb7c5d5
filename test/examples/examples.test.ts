/** The examples in a short form: each runs, and comes to what it says. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const tsx = createRequire(import.meta.url).resolve('tsx/cli');

function run(name: string, ...given: string[]): string {
  return execFileSync(process.execPath, [tsx, `examples/${name}.ts`, ...given], { cwd: root, encoding: 'utf8' });
}

test('mlp: the spirals are told apart', () => {
  expect(Number(/never seen ([\d.]+) %/.exec(run('mlp', '60'))?.[1])).toBeGreaterThan(95);
});

test('character-model: it learns, and speaks', () => {
  const printed = run('character-model', '20');
  expect(Number(/step 20: loss ([\d.]+)/.exec(printed)?.[1])).toBeLessThan(3.5);
  expect(printed.slice(printed.indexOf('\n') + 1)).toMatch(/^The .{150}/s);
});

test('lora: the fine-tune learns, and the first model is still there', () => {
  const losses = [...run('lora', '30').matchAll(/loss ([\d.]+)/g)].map(([, loss]) => Number(loss));
  const [forwards, before, adapted, merged, restored] = losses;
  expect(adapted).toBeLessThan(before);
  expect(merged).toBeCloseTo(adapted, 2);
  expect(restored).toBe(forwards);
});

test('each is under 100 lines', () => {
  for (const name of readdirSync(`${root}examples`)) {
    expect(readFileSync(`${root}examples/${name}`, 'utf8').split('\n').length).toBeLessThan(100);
  }
});
