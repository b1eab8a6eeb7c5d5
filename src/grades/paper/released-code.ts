/** The rule of the official code of arXiv 2509.01842 (November 2025), which never looks at a gradient. */
import type { Optimizer } from '../../nn/optimizer.ts';
import type { ParameterRegistry } from '../registry.ts';
import { weightChange } from '../signals/weight-change.ts';
import { PaperRule, type PaperRuleOptions } from './paper-rule.ts';

export interface ReleasedCodeOptions extends PaperRuleOptions {
  /** `max_frozen_ratio`: training stops when this share of the watched matrices is frozen. */
  maxFrozenShare?: number;
  /** `compute_interval`: steps between checks. The value grows with it, τ does not. */
  interval?: number;
}

/**
 * Freezes from t ≥ ⌊αT⌋ on whatever changed by less than τ since the last check, ‖W − W at the last check‖₁. Its quirks are kept:
 * the first sample counts as 0, which is below every τ, so with αT at or before the first check everything freezes there.
 *
 * Not kept: a failure that counts as 0 and freezes silently (here it is an error), moments that stay allocated (here they are
 * released), and biases, which belong to the matrix there and are not watched here.
 */
export class ReleasedCode extends PaperRule {
  protected override readonly signal = weightChange;

  constructor(registry: ParameterRegistry, optimizer: Optimizer, options: ReleasedCodeOptions) {
    super(registry, optimizer, options, { grace: 0.3 });
  }

  protected override valuesOf(sums: ReadonlyMap<string, number>, isFirst: boolean): ReadonlyMap<string, number> {
    return isFirst ? new Map([...sums.keys()].map((name) => [name, 0])) : sums;
  }

  protected override graceIsOver(step: number): boolean {
    return step >= Math.floor(this.settings.grace * this.settings.steps);
  }
}
