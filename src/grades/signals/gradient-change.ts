/** The change of the gradient from step to step, ‖∇W_t − ∇W_(t−1)‖₁: arXiv 2509.01842 v3, Eq. 1. */
import type { Signal } from './signal.ts';

/** Σ |g_t − g_(t−1)|, with g_0 = 0. Keeps a copy of each watched gradient. */
export const gradientChange: Signal = {
  name: 'gradient-change',
  over: 'gradient-before',
  wgsl: 'abs(x - y)',
  reference: (x, y) => Math.abs(x - y),
  simd: 'distanceStatistics',
  power: 1,
  threshold: 0.5,
};
