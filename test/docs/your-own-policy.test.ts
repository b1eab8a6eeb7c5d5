import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));

test('the signal and the rule on the page are those that run, and prints what the page says', () => {
  const tsx = createRequire(import.meta.url).resolve('tsx/cli');
  const printed = execFileSync(process.execPath, [tsx, 'docs/your-own-policy.ts'], { cwd: root, encoding: 'utf8' });
  const page = readFileSync(`${root}docs/your-own-policy.md`, 'utf8');
  const [signal, rule, output] = [...page.matchAll(/^```(?:ts)?\n(.*?)^```/gms)].map(([, content]) => content);
  const script = readFileSync(`${root}docs/your-own-policy.ts`, 'utf8');
  for (const part of [signal, rule]) expect(script).toContain(part);
  expect(output).toBe(printed);
});
