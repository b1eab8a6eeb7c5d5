/**
 * What decides, while training runs, which parameters freeze and when the run ends. The training loop knows no more
 * than this:
 *
 *     for (let s = 1; s <= steps && !policy.finished; s++) {
 *       await step(async () => {
 *         policy.beforeStep(s);
 *         const loss = …;
 *         loss.backward();
 *         optimizer.step(loss);
 *         await policy.afterStep(s);
 *       });
 *       await policy.betweenSteps(s);
 *     }
 *     await policy.end();
 *
 * A policy overrides what it needs.
 */
export abstract class Policy {
  /** True when there is nothing left to train, or no reason to. */
  abstract readonly finished: boolean;

  /** Called before the forward pass of step 1, 2, … */
  beforeStep(_step: number): void {}

  /** Called when the optimizer has made its step, still inside the same `step()`. */
  async afterStep(_step: number): Promise<void> {}

  /** Called when the step is over: here a policy may open steps of its own, to validate. */
  async betweenSteps(_step: number): Promise<void> {}

  /** Called once after the last step; throws where a gradient was broken that no check has told of yet. */
  async end(): Promise<void> {}
}
