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
 *     }
 *     await policy.end();
 */
export interface Policy {
  /** Called before the forward pass of step 1, 2, … */
  beforeStep(step: number): void;
  /** Called when the optimizer has made its step, still inside the same `step()`. */
  afterStep(step: number): Promise<void>;
  /** Called once after the last step; throws where a gradient was broken that no check has told of yet. */
  end(): Promise<void>;
  /** True when there is nothing left to train. */
  readonly finished: boolean;
}
