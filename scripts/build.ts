/**
 * Makes the package in dist/: JavaScript and types of `src/` with kernels and compiled vector loops for Node, and
 * `browser.js`, one file that holds all of it, for bundlers and pages.
 */

import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { simdForms } from '../src/tensor/cpu/simd-form.ts';
import { kernelFolder, vectorLoopsPath } from '../src/tensor/platform/repository.ts';
import { browserSide } from './browser-side.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
rmSync(dist, { recursive: true, force: true });

const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
const { status } = spawnSync(process.execPath, [compiler, '-p', join(root, 'tsconfig.build.json')], {
  stdio: 'inherit',
});
if (status !== 0) throw new Error('build: the compiler refused src');

// The compiler leaves the imports of declarations as they are, and a user's compiler has no .ts files to follow them to.
for (const name of readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
  if (!/\.d\.m?ts$/.test(name)) continue;
  const path = join(dist, name);
  writeFileSync(path, readFileSync(path, 'utf8').replace(/((?:from |import\()'\.[^']*)\.ts'/g, "$1.js'"));
}

cpSync(fileURLToPath(kernelFolder), join(dist, 'kernels'), {
  recursive: true,
  filter: (path) => path === fileURLToPath(kernelFolder) || path.endsWith('.wgsl'),
});
mkdirSync(join(dist, 'build'));
for (const form of simdForms) copyFileSync(vectorLoopsPath(form), join(dist, 'build', `simd-${form}.wasm`));

await build({
  configFile: false,
  root,
  logLevel: 'warn',
  plugins: [browserSide()],
  build: {
    outDir: dist,
    emptyOutDir: false,
    copyPublicDir: false,
    target: 'es2022',
    lib: { entry: join(root, 'src', 'index.ts'), formats: ['es'], fileName: () => 'browser.js' },
  },
});
