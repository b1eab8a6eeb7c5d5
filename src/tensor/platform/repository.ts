/** Where kernels and compiled vector loops lie: in the repository, and in the package that is built from it. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SimdForm } from '../cpu/simd-form.ts';

const root = new URL('../../../', import.meta.url);

export const kernelFolder = new URL('kernels/', root);

/** Sources of the vector loops; the package is without them. */
export const simdSources = fileURLToPath(new URL('kernels/simd', root));

/** Where the module compiled in a form lies: in the repository, the one from the sources as they are now. */
export function vectorLoopsPath(form: SimdForm): string {
  const folder = fileURLToPath(new URL('build', root));
  if (!existsSync(simdSources)) return join(folder, `simd-${form}.wasm`);
  const hash = createHash('sha256');
  for (const name of readdirSync(simdSources).sort()) hash.update(name).update(readFileSync(join(simdSources, name)));
  return join(folder, `simd-${form}-${hash.digest('hex').slice(0, 16)}.wasm`);
}
