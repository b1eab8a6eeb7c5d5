/** The magnitude of the gradient, ‖∇W‖₁: arXiv 2509.01842 v1 and its abstract; v3 for adapters (Eq. 3 and 4). */
import type { Signal } from './signal.ts';

/** Σ |g|. On small batches mostly noise, which does not fall as the matrix converges. */
export const gradientMagnitude: Signal = {
  name: 'gradient',
  over: 'gradient',
  wgsl: 'abs(x)',
  reference: (x) => Math.abs(x),
  simd: 'magnitudeStatistics',
  power: 1,
  threshold: 0.5,
};
