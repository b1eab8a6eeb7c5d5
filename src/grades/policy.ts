/** What decides, while training runs, which parameters freeze and when the run ends. */
import type { Saved } from '../nn/saved.ts';

/**
 * An object with the hooks it needs; a rule can be a literal:
 *
 *     const policy: Policy = {
 *       afterStep(step) {
 *         if (step === 100) registry.freeze(registry.get('blocks.0.attention.query.weight'), { step, reason: 'time is up' });
 *       },
 *     };
 *
 * `Training` calls the hooks; a loop of one's own calls them like this:
 *
 *     for (let s = 1; s <= steps && !policy.finished; s++) {
 *       await step(async () => {
 *         policy.beforeStep?.(s);
 *         const loss = …;
 *         loss.backward();
 *         optimizer.step(loss);
 *         await policy.afterStep?.(s);
 *       });
 *       await policy.betweenSteps?.(s);
 *     }
 *     await policy.end?.();
 */
export interface Policy {
  /** True when there is nothing left to train, or no reason to. Absent: never. */
  readonly finished?: boolean;

  /** Called before the forward pass of step 1, 2, … */
  beforeStep?(step: number): void;

  /** Called when the optimizer has made its step, still inside the same `step()`. */
  afterStep?(step: number): void | Promise<void>;

  /** Called when the step is over: here a policy may open steps of its own, to validate. */
  betweenSteps?(step: number): void | Promise<void>;

  /** Called once after the last step; throws where a gradient was broken that no check has told of yet. */
  end?(): void | Promise<void>;

  /** What it needs to go on from here, for a checkpoint. Absent: it keeps nothing between steps. */
  state?(): Saved | Promise<Saved>;

  /** Goes on from what `state` gave, on a policy made with the same options. */
  restore?(state: Saved): void | Promise<void>;
}
