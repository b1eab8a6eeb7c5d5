/** The rule of version 3 of arXiv 2509.01842 (Algorithm 1): a matrix freezes when the change of its gradient falls below τ. */
import type { Optimizer } from '../../nn/optimizer.ts';
import type { ParameterRegistry } from '../registry.ts';
import { gradientChange } from '../signals/gradient-change.ts';
import { PaperRule, type PaperRuleOptions } from './paper-rule.ts';

/**
 * Freezes a matrix at the first step t > ⌈αT⌉ whose ‖∇W_t − ∇W_(t−1)‖₁ (Eq. 1) is below τ. The gradient before the first
 * counts as 0. For adapters version 3 has the magnitude instead: `PaperVersion1`.
 */
export class PaperVersion3 extends PaperRule {
  protected override readonly signal = gradientChange;

  constructor(registry: ParameterRegistry, optimizer: Optimizer, options: PaperRuleOptions) {
    super(registry, optimizer, options, { grace: 0.5 });
  }
}
