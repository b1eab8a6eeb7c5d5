/**
 * The rules of the paper's two versions and of the released code, as options of `GradES`, each with its quirks. Their
 * thresholds go with the size of the model, the loss, the batch and the learning rate: those of the paper cannot be
 * carried over.
 */

import type { GradESOptions } from './grades.ts';
import type { Selector } from './registry.ts';

export interface PaperOptions {
  /** Length of the schedule, T. */
  steps: number;
  /** τ. */
  threshold: number;
  /** α, the share of the schedule before which nothing freezes; 0.5 in the text, 0.55 in the tables for language models. */
  grace?: number;
  watch?: Selector;
}

const paper = {
  scale: 'sum',
  graceEnd: 'after-ceiling',
  horizon: 0,
  patience: 0,
  spacing: 0,
  interval: 1,
  waitForCheck: true,
} as const satisfies Partial<GradESOptions>;

/**
 * Version 1 of the paper, and its abstract: a matrix freezes at the first step t > ⌈αT⌉ whose ‖∇W‖₁ is below τ. No
 * average, no patience; one value is enough. The paper leaves out the update of the step that decided; here it is made.
 */
export function paperV1({ steps, threshold, grace = 0.5, watch }: PaperOptions): GradESOptions {
  return { ...paper, quantity: 'gradient', steps, threshold, grace, ...(watch && { watch }) };
}

/**
 * Version 3, Algorithm 1: the same with the change of the gradient, ‖∇W_t - ∇W_{t-1}‖₁ (Eq. 1), where the gradient before
 * the first counts as 0.
 *
 * @param options.adapters for LoRA, where v3 has the magnitude instead, ‖∇A‖₁ + ‖∇B‖₁ (Eq. 3 and 4).
 */
export function paperV3({
  steps,
  threshold,
  grace = 0.5,
  watch,
  adapters = false,
}: PaperOptions & { adapters?: boolean }): GradESOptions {
  if (adapters) return paperV1({ steps, threshold, grace, watch });
  const rule = { ...paper, quantity: 'gradient-change', firstSample: 'from-zero' } as const;
  return { ...rule, steps, threshold, grace, sampleFrom: 1, ...(watch && { watch }) };
}

export interface ReleasedCodeOptions {
  /** `max_steps`. */
  steps: number;
  /** `tau`. */
  tau?: number;
  /** `alpha`. */
  alpha?: number;
  /** `max_frozen_ratio`: training stops when this share is frozen. */
  maxFrozenRatio?: number;
  /** `compute_interval`: steps between checks. */
  computeInterval?: number;
  watch?: Selector;
}

/**
 * The official code (November 2025), with its defaults. It never looks at a gradient: it measures ‖W - W at the last check‖₁
 * after the optimizer's step, from the first check on, and freezes from t ≥ ⌊αT⌋. Kept as they are:
 *
 * - the first sample counts as 0, which is below every τ: with αT ≤ the first check everything freezes there and training
 *   stops;
 * - the value grows with the interval between checks, τ does not;
 * - with AdamW it is, nearly, the learning rate times the number of elements, so matrices freeze in the order of their size
 *   when the schedule falls.
 *
 * Not kept: a failure that counts as 0 and freezes silently (here it is an error), moments that stay allocated (here
 * they are released), and biases, which belong to the matrix there and are not watched here.
 */
export function releasedCode({
  steps,
  tau = 1e-4,
  alpha = 0.3,
  maxFrozenRatio = 1,
  computeInterval = 1,
  watch,
}: ReleasedCodeOptions): GradESOptions {
  return {
    steps,
    quantity: 'weight-change',
    scale: 'sum',
    threshold: tau,
    grace: alpha,
    graceEnd: 'at-floor',
    horizon: 0,
    patience: 0,
    spacing: 0,
    interval: computeInterval,
    sampleFrom: computeInterval,
    firstSample: 'converged',
    waitForCheck: true,
    stopShare: maxFrozenRatio,
    ...(watch && { watch }),
  };
}
