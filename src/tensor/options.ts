/** The check of options: most programs run unchecked, where a wrong name would be passed over in silence. */
import { ArgumentError } from './errors.ts';
import { Tensor } from './tensor.ts';

/** What the same thing is called elsewhere. */
const otherNames: Readonly<Record<string, readonly string[]>> = {
  axes: ['axis', 'dim', 'dims'],
  axis: ['dim', 'dims', 'axes'],
  correction: ['unbiased', 'ddof'],
  causal: ['isCausal'],
  mask: ['attnMask', 'attentionMask'],
  learningRate: ['lr', 'rate'],
  epsilon: ['eps'],
  random: ['generator', 'seed', 'rng'],
  deviation: ['std', 'standardDeviation'],
  maxGradientNorm: ['maxNorm', 'clip', 'maxGradNorm', 'clipGradNorm'],
  rank: ['r'],
  alpha: ['loraAlpha'],
  dropout: ['loraDropout'],
  target: ['targetModules'],
  peak: ['lr', 'learningRate'],
  maxTokens: ['maxNewTokens', 'maxLength'],
  lengths: ['attentionMask', 'length'],
  patience: ['nIterNoChange'],
  dtype: ['torchDtype'],
};

/**
 * @param first the option that a plain argument in the place of the options likely means; null where it may be any.
 * @throws ArgumentError that names `operation` for options that are no object, and for one that is not in `allowed`.
 */
export function checkOptions(
  operation: string,
  options: unknown,
  allowed: readonly string[],
  first: string | null = allowed[0] ?? null,
): void {
  const list = allowed.join(', ') || 'none';
  const isTensor = options instanceof Tensor;
  if (
    typeof options !== 'object' ||
    options === null ||
    Array.isArray(options) ||
    ArrayBuffer.isView(options) ||
    isTensor
  ) {
    const shown = Array.isArray(options) ? `[${options.join(', ')}]` : String(options);
    const likely = first === null || options === undefined || isTensor ? '' : `; did you mean { ${first}: ${shown} }?`;
    throw new ArgumentError(`${operation}: got ${shown} where options belong (allowed: ${list})${likely}`);
  }
  for (const name in options) {
    if (allowed.includes(name)) continue;
    const meant = allowed.find((each) => isLike(name, each));
    const likely = meant === undefined ? '' : `; did you mean ${meant}?`;
    throw new ArgumentError(`${operation}: there is no option '${name}' (allowed: ${list})${likely}`);
  }
}

function isLike(name: string, option: string): boolean {
  const plain = (text: string) => text.replace(/[_-]/g, '').toLowerCase();
  const names = [option, ...(otherNames[option] ?? [])].map(plain);
  return names.includes(plain(name)) || oneApart(plain(name), plain(option));
}

/** Whether one letter added, left out, changed or swapped with the next makes `a` into `b`. */
function oneApart(a: string, b: string): boolean {
  let same = 0;
  while (same < a.length && a[same] === b[same]) same++;
  const [restA, restB] = [a.slice(same), b.slice(same)];
  const swapped = restA[1] + restA[0] + restA.slice(2) === restB;
  return swapped || [restA.slice(1), restA].includes(restB.slice(1)) || restA.slice(1) === restB;
}
