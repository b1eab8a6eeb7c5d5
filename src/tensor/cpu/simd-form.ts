/** The forms in which kernels/simd/ is compiled, and which of them this engine can run. */
import { setFlagsFromString } from 'node:v8';
import { ArgumentError } from '../errors.ts';

/**
 * - `plain`: 128-bit vectors; a product is rounded, then its sum.
 * - `relaxed`: multiply-adds that round once where the machine has an instruction for it.
 * - `wide`: the same, and pairs of vectors become one of 256 bits.
 *
 * Results of two forms differ in the last bit or two. With one form they are the same, whatever the number of threads.
 */
export const simdForms = ['plain', 'relaxed', 'wide'] as const;
export type SimdForm = (typeof simdForms)[number];

/** The form that FROSTGRAD_CPU names; null where it names none. @throws ArgumentError for another word. */
export function formFromEnvironment(): SimdForm | null {
  const named = process.env.FROSTGRAD_CPU;
  return named ? checkForm(named, 'FROSTGRAD_CPU') : null;
}

/** @throws ArgumentError where it is none of the forms. */
export function checkForm(form: string, from: string): SimdForm {
  const found = simdForms.find((each) => each === form);
  if (found) return found;
  throw new ArgumentError(`${from}: '${form}' is no form of the cpu device (allowed: ${simdForms.join(', ')})`);
}

const [major, minor] = process.versions.node.split('.').map(Number);
const joinsVectors = process.arch === 'x64' && (major > 23 || (major === 23 && minor >= 5));

/** The forms that are tried where none is named, the fastest first. Node 20 runs `relaxed` too, but as an experiment of V8's. */
export const preferredForms: readonly SimdForm[] = simdForms
  .filter((form) => form === 'plain' || (form === 'relaxed' ? major >= 22 : joinsVectors))
  .toReversed();

/**
 * Compiles a module with V8's best compiler at once, so that nothing runs slowly at first, and in the form asked for. The settings
 * hold for this module alone; its code serves every thread.
 *
 * @throws ArgumentError where this engine lacks the form; WebAssembly.CompileError where it lacks vectors.
 */
export function compileForm(form: SimdForm, bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  if (form === 'wide' && !joinsVectors) {
    throw new ArgumentError(
      `cpu device: Node ${process.versions.node} on ${process.arch} cannot run the form wide (allowed: Node 23.5 and newer on x64)`,
    );
  }
  const settings = ['liftoff', 'wasm-lazy-compilation'].map((name) => [`--no-${name}`, `--${name}`]);
  if (form === 'wide') {
    settings.push(['--experimental-wasm-revectorize', '--no-experimental-wasm-revectorize']);
  }
  // Node 20 has the instructions, behind a flag.
  if (form !== 'plain' && major < 22) {
    settings.push(['--experimental-wasm-relaxed-simd', '--no-experimental-wasm-relaxed-simd']);
  }
  for (const [set] of settings) setFlagsFromString(set);
  try {
    return new WebAssembly.Module(bytes);
  } finally {
    for (const [, unset] of settings) setFlagsFromString(unset);
  }
}
