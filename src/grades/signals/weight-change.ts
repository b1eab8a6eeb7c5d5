/** The change of the weights since the last check, ‖W_t − W_before‖₁: what the released code of arXiv 2509.01842 measures. */
import type { Signal } from './signal.ts';

/**
 * Σ |w − w at the last check|, weight decay included. Keeps a copy of each watched matrix. With AdamW it follows the learning
 * rate more than the gradient.
 */
export const weightChange: Signal = {
  name: 'weight-change',
  over: 'weights-before',
  wgsl: 'abs(x - y)',
  reference: (x, y) => Math.abs(x - y),
  simd: 'distanceStatistics',
  power: 1,
  threshold: 0.5,
};
