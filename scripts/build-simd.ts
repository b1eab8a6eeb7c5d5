/** Compiles the vector loops of the cpu device, kernels/simd/, to WebAssembly, unless it is done already. */

import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { type SimdForm, simdForms } from '../src/tensor/cpu/simd-form.ts';
import { simdSources, vectorLoopsPath } from '../src/tensor/platform/repository.ts';
import { customSection, isWhole, seal } from './sealed-module.ts';

/** What the compiler is told for each form, beside what it is told for all. The code of `wide` is joined later, by the engine. */
const options: Readonly<Record<SimdForm, readonly string[]>> = {
  plain: ['--use', 'WIDE=0'],
  relaxed: ['--use', 'WIDE=0', '--enable', 'relaxed-simd'],
  wide: ['--use', 'WIDE=1', '--enable', 'relaxed-simd'],
};

const folder = dirname(vectorLoopsPath('plain'));
try {
  const missing = simdForms.filter((form) => !isWhole(vectorLoopsPath(form)));
  if (missing.every(build) && missing.length > 0) {
    // Modules of earlier sources are of no use any more.
    const current = simdForms.map((form) => basename(vectorLoopsPath(form)));
    for (const name of readdirSync(folder)) {
      if (/^simd-.*\.wasm$/.test(name) && !current.includes(name)) rmSync(join(folder, name));
    }
    console.log('setup: compiled the vector loops of the cpu device');
  }
} catch (error) {
  if (!(error instanceof Error && 'code' in error)) throw error;
  console.error(`setup: ${folder} cannot be used (${error.message})`);
  process.exitCode = 1;
}

function build(form: SimdForm): boolean {
  const path = vectorLoopsPath(form);
  mkdirSync(folder, { recursive: true });
  const unfinished = join(folder, `unfinished-${process.pid}.wasm`);
  // The compiler would not tell that it cannot write there.
  writeFileSync(unfinished, '');
  // The compiler as a program of its own: its types would replace those of the platform.
  const compiler = createRequire(import.meta.url).resolve('assemblyscript/bin/asc.js');
  const memory = ['--importMemory', '--sharedMemory', '--initialMemory', '16', '--maximumMemory', '65536'];
  const { status } = spawnSync(
    process.execPath,
    [
      compiler,
      join(simdSources, 'index.ts'),
      ...['--outFile', unfinished, '-O3', '--noAssert', '--runtime', 'stub'],
      ...['--enable', 'simd', '--enable', 'threads', ...options[form]],
      ...memory,
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  try {
    if (status !== 0) {
      process.exitCode = 1;
      return false;
    }
    // All forms export the same; `plain` is one that every Node can read.
    const parameters = parametersOf(form === 'plain' ? unfinished : vectorLoopsPath('plain'));
    const code = Buffer.concat([readFileSync(unfinished), customSection('parameters', JSON.stringify(parameters))]);
    writeFileSync(unfinished, Buffer.concat([code, seal(code)]));
    renameSync(unfinished, path);
    return true;
  } finally {
    rmSync(unfinished, { force: true });
  }
}

/** The names of the parameters of each function that a module exports, as its source has them. */
function parametersOf(modulePath: string): Record<string, string[]> {
  const sources = readdirSync(simdSources).map((name) => readFileSync(join(simdSources, name), 'utf8'));
  const exported = WebAssembly.Module.exports(new WebAssembly.Module(new Uint8Array(readFileSync(modulePath))));
  const functions = exported.filter(({ kind }) => kind === 'function');
  return Object.fromEntries(
    functions.map(({ name }) => {
      const [, list] = sources.join('\n').match(new RegExp(`^export function ${name}\\(([^)]*)\\)`, 'm')) ?? [];
      if (list === undefined) throw new Error(`kernels/simd: the parameters of ${name} were not found`);
      return [name, [...list.matchAll(/(\w+):/g)].map(([, parameter]) => parameter)];
    }),
  );
}
