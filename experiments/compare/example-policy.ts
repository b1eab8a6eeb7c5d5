/** An example for `npm run compare -- --policy experiments/compare/example-policy.ts`: matrices freeze by the clock, from the bottom up. */

import { type Policy, projectionKinds } from '../../src/index.ts';
import type { PolicyContext } from './user-policy.ts';

export default function fromBelow({ registry, steps }: PolicyContext): Policy {
  const matrices = registry.select(projectionKinds);
  const first = Math.round(0.4 * steps);
  const every = Math.max(1, Math.round((0.4 * steps) / matrices.length));
  return {
    get finished() {
      return registry.active(matrices).length === 0;
    },
    afterStep(step) {
      if (step < first || (step - first) % every !== 0) return;
      const [next] = registry.active(matrices);
      if (next) registry.freeze(next, { step, reason: 'its turn has come' });
    },
  };
}
