/** Compiles the vector loops of the cpu device, kernels/simd/, to WebAssembly, unless it is done already. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { simdModulePath, simdSources } from '../src/tensor/cpu/simd-module.ts';

const path = simdModulePath();
if (!existsSync(path)) {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true });
  const unfinished = join(folder, `unfinished-${process.pid}.wasm`);
  // The compiler as a program of its own: its types would replace those of the platform.
  const compiler = createRequire(import.meta.url).resolve('assemblyscript/bin/asc.js');
  const memory = ['--importMemory', '--sharedMemory', '--initialMemory', '16', '--maximumMemory', '65536'];
  const { status } = spawnSync(
    process.execPath,
    [
      compiler,
      join(simdSources, 'index.ts'),
      ...['--outFile', unfinished, '-O3', '--noAssert', '--runtime', 'stub'],
      ...['--enable', 'simd', '--enable', 'threads'],
      ...memory,
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  if (status !== 0) process.exitCode = 1;
  else {
    renameSync(unfinished, path);
    // Modules of earlier sources are of no use any more.
    for (const name of readdirSync(folder)) {
      if (/^simd-.*\.wasm$/.test(name) && name !== basename(path)) rmSync(join(folder, name));
    }
    console.log('setup: compiled the vector loops of the cpu device');
  }
}
