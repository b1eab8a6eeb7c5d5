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
/** What is an experiment of V8's may go wrong in an engine to come: this is the newest Node that the tests ran on. */
const newestTried = 26;

/** The forms that are tried where none is named, the fastest first. */
export const preferredForms: readonly SimdForm[] = simdForms
  .filter((form) => form === 'plain' || (form === 'relaxed' ? major >= 22 : joinsVectors && major <= newestTried))
  .toReversed();

/**
 * Compiles a module in the form asked for. Its code serves every thread. What is set for it in V8 stays set, because the engine compiles
 * a function anew when it is called often; other modules then have their vectors joined too, which changes no result.
 *
 * @throws ArgumentError where this engine lacks the form; WebAssembly.CompileError where it lacks vectors.
 */
export function compileForm(form: SimdForm, bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  if (form === 'wide' && !joinsVectors) {
    throw new ArgumentError(
      `cpu device: Node ${process.versions.node} on ${process.arch} cannot run the form wide (allowed: Node 23.5 and newer on x64)`,
    );
  }
  if (form === 'wide') setFlagsFromString('--experimental-wasm-revectorize');
  // Node 20 has the instructions of `relaxed`, as an experiment.
  if (form === 'relaxed' && major < 22) setFlagsFromString('--experimental-wasm-relaxed-simd');
  return new WebAssembly.Module(bytes);
}
