/** Compiles the vector loops of the cpu device, kernels/simd/, to WebAssembly, unless it is done already. */

import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
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
    appendFileSync(unfinished, customSection('parameters', JSON.stringify(parametersOf(unfinished))));
    renameSync(unfinished, path);
    // Modules of earlier sources are of no use any more.
    for (const name of readdirSync(folder)) {
      if (/^simd-.*\.wasm$/.test(name) && name !== basename(path)) rmSync(join(folder, name));
    }
    console.log('setup: compiled the vector loops of the cpu device');
  }
}

/** The names of the parameters of each function that the module exports, as its source has them. */
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
