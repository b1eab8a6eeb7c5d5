// Runs the README's first example as it stands there, so that it cannot rot.

import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const repositoryRoot = fileURLToPath(new URL('..', import.meta.url));
const tsx = createRequire(import.meta.url).resolve('tsx/cli');
const readme = readFileSync(join(repositoryRoot, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/^```ts\r?\n(.*?)^```/gms)].map(([, code]) => code);
const example = blocks.find((code) => /from '(frostgrad|\.\/src\/index\.ts)'/.test(code));

if (example === undefined) {
  console.error("README.md has no ```ts block that imports from 'frostgrad'");
  process.exitCode = 1;
} else {
  // In the repository's root, where both the package's own name and ./src resolve.
  const file = join(repositoryRoot, `.readme-example-${process.pid}.ts`);
  writeFileSync(file, example);
  try {
    const child = spawnSync(process.execPath, [tsx, file], { cwd: repositoryRoot, stdio: 'inherit' });
    process.exitCode = child.status ?? 1;
  } finally {
    rmSync(file);
  }
}
