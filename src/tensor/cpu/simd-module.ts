/** Where the compiled SIMD functions lie. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SimdForm } from './simd-form.ts';

const repositoryRoot = fileURLToPath(new URL('../../..', import.meta.url));

/** Sources of the vector loops. */
export const simdSources = join(repositoryRoot, 'kernels', 'simd');

/** Where `scripts/build-simd.ts` puts the module compiled in one form from the sources as they are now. */
export function simdModulePath(form: SimdForm): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(simdSources).sort()) hash.update(name).update(readFileSync(join(simdSources, name)));
  return join(repositoryRoot, 'build', `simd-${form}-${hash.digest('hex').slice(0, 16)}.wasm`);
}

/** The compiled module; null where it was not built. */
export function readSimdModule(form: SimdForm): Uint8Array<ArrayBuffer> | null {
  if (!existsSync(simdSources)) return null;
  const path = simdModulePath(form);
  return existsSync(path) ? new Uint8Array(readFileSync(path)) : null;
}
