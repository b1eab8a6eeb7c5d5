/** Builds `src/` for browsers, as a plugin of Vite: the platform's browser side in the place of Node's, and what it embeds. */

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'vite';
import type { SimdForm } from '../src/tensor/cpu/simd-form.ts';
import { kernelFolder, vectorLoopsPath } from '../src/tensor/platform/repository.ts';

const platformFolder = fileURLToPath(new URL('../src/tensor/platform/', import.meta.url));
const embedded = 'frostgrad:embedded';
/** The others are none that a browser runs. */
const forms: readonly SimdForm[] = ['plain', 'relaxed'];

export function browserSide(): Plugin {
  return {
    name: 'frostgrad-browser-side',
    enforce: 'pre',
    resolveId(source, importer) {
      if (source === embedded) return `\0${embedded}`;
      const isNodeSide = source === './node.ts' && importer?.endsWith('src/tensor/platform/platform.ts');
      return isNodeSide ? join(platformFolder, 'browser.ts') : null;
    },
    load: async (id) => (id === `\0${embedded}` ? embeddedModule() : null),
  };
}

async function embeddedModule(): Promise<string> {
  const folder = fileURLToPath(kernelFolder);
  const kernelNames = readdirSync(folder).filter((name) => name.endsWith('.wgsl'));
  const parts = {
    kernels: Object.fromEntries(
      kernelNames.map((name) => [basename(name, '.wgsl'), readFileSync(join(folder, name), 'utf8')]),
    ),
    vectorLoops: Object.fromEntries(
      forms.map((form) => [form, readFileSync(vectorLoopsPath(form)).toString('base64')]),
    ),
    threadSource: await bundleThread(),
  };
  return Object.entries(parts)
    .map(([name, value]) => `export const ${name} = ${JSON.stringify(value)};\n`)
    .join('');
}

/** The thread's script as one text, which needs no address of its own: bundlers move files about. */
async function bundleThread(): Promise<string> {
  const entry = join(platformFolder, 'browser-thread.mjs');
  const output = await build({
    configFile: false,
    logLevel: 'error',
    build: { write: false, lib: { entry, formats: ['iife'], name: 'thread' } },
  });
  const [first] = [output].flat();
  if (!first || !('output' in first)) throw new Error('the script of the threads was not built');
  return first.output[0].code;
}
