/** The forms in which kernels/simd/ is compiled. Which of them an engine can run, src/tensor/platform/ says. */
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

/** @throws ArgumentError where it is none of the forms. */
export function checkForm(form: string, from: string): SimdForm {
  const found = simdForms.find((each) => each === form);
  if (found) return found;
  throw new ArgumentError(`${from}: '${form}' is no form of the cpu device (allowed: ${simdForms.join(', ')})`);
}
