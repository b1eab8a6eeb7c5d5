/** Compiles the vector loops of the cpu device, kernels/simd/, to WebAssembly, unless it is done already. */

import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { type SimdForm, simdForms } from '../src/tensor/cpu/simd-form.ts';
import { simdSources, vectorLoopsPath } from '../src/tensor/platform/repository.ts';

/** What the compiler is told for each form, beside what it is told for all. The code of `wide` is joined later, by the engine. */
const options: Readonly<Record<SimdForm, readonly string[]>> = {
  plain: ['--use', 'WIDE=0'],
  relaxed: ['--use', 'WIDE=0', '--enable', 'relaxed-simd'],
  wide: ['--use', 'WIDE=1', '--enable', 'relaxed-simd'],
};

const missing = simdForms.filter((form) => !existsSync(vectorLoopsPath(form)));
if (missing.every(build) && missing.length > 0) {
  // Modules of earlier sources are of no use any more.
  const [current, folder] = [
    simdForms.map((form) => basename(vectorLoopsPath(form))),
    dirname(vectorLoopsPath('plain')),
  ];
  for (const name of readdirSync(folder)) {
    if (/^simd-.*\.wasm$/.test(name) && !current.includes(name)) rmSync(join(folder, name));
  }
  console.log('setup: compiled the vector loops of the cpu device');
}

function build(form: SimdForm): boolean {
  const path = vectorLoopsPath(form);
  mkdirSync(dirname(path), { recursive: true });
  const unfinished = join(dirname(path), `unfinished-${process.pid}.wasm`);
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
  if (status !== 0) {
    process.exitCode = 1;
    return false;
  }
  // All forms export the same; `plain` is one that every Node can read.
  const parameters = parametersOf(form === 'plain' ? unfinished : vectorLoopsPath('plain'));
  appendFileSync(unfinished, customSection('parameters', JSON.stringify(parameters)));
  renameSync(unfinished, path);
  return true;
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

/** A section that WebAssembly hands to the host as it is (core specification, 5.5.3). */
function customSection(name: string, content: string): Uint8Array {
  const text = (value: string) => [...leb128(Buffer.byteLength(value)), ...Buffer.from(value)];
  const body = [...text(name), ...Buffer.from(content)];
  return Uint8Array.from([0, ...leb128(body.length), ...body]);
}

function leb128(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb128(value >>> 7)];
}
