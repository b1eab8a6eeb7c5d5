/** The rule of version 1 of arXiv 2509.01842, and of its abstract: a matrix freezes when the magnitude of its gradient falls below τ. */
import type { Optimizer } from '../../nn/optimizer.ts';
import type { ParameterRegistry } from '../registry.ts';
import { gradientMagnitude } from '../signals/gradient-magnitude.ts';
import { PaperRule, type PaperRuleOptions } from './paper-rule.ts';

/**
 * Freezes a matrix at the first step t > ⌈αT⌉ whose ‖∇W‖₁ is below τ. For adapters version 3 has the same rule, with
 * ‖∇A‖₁ + ‖∇B‖₁ (Eq. 3 and 4). α is 0.5 in the text and 0.55 in the tables for language models.
 */
export class PaperVersion1 extends PaperRule {
  protected override readonly signal = gradientMagnitude;

  constructor(registry: ParameterRegistry, optimizer: Optimizer, options: PaperRuleOptions) {
    super(registry, optimizer, options, { grace: 0.5 });
  }
}
