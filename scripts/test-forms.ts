/** Runs the tests once in each form of the cpu device that this Node prefers: `npm run test:forms -- [files or options of vitest]`. */

import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { platform } from '../src/tensor/platform/platform.ts';

// Not exported, so it is found beside what is.
const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
for (const form of platform.preferredForms.toReversed()) {
  console.log(`\ntest:forms: ${form}`);
  const env = { ...process.env, FROSTGRAD_CPU: form };
  const { status } = spawnSync(process.execPath, [vitest, 'run', ...process.argv.slice(2)], { stdio: 'inherit', env });
  if (status !== 0) process.exitCode = 1;
}
