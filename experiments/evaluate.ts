/** Accuracy and loss of a classifier over items that are held out. */

import { crossEntropy, type Device, noGrad, step, type Transformer, tensor } from '../src/index.ts';
import type { Items } from './data/items.ts';

export interface Evaluation {
  accuracy: number;
  /** Mean cross-entropy. */
  loss: number;
  /** Floating-point operations the evaluation dispatched. */
  operations: number;
  seconds: number;
}

/**
 * Over the first `count` items, a batch at a time. Leaves nothing behind and draws nothing from any random stream, so that
 * training goes on as if it had not been.
 */
export async function evaluate(
  model: Transformer,
  device: Device,
  items: Items,
  count = items.count,
  batch = 200,
): Promise<Evaluation> {
  const length = items.tokens.length / items.count;
  const started = performance.now();
  const before = device.work.flops;
  let correct = 0;
  let lossSum = 0;
  model.eval();
  for (let from = 0; from < count; from += batch) {
    const to = Math.min(count, from + batch);
    await step(() =>
      noGrad(async () => {
        const tokens = items.tokens.subarray(from * length, to * length);
        const labels = items.labels.subarray(from, to);
        const logits = model.call(tensor(tokens, { device, shape: [to - from, length] }));
        const loss = crossEntropy(logits, tensor(labels, { device }), { reduction: 'sum' });
        const [guesses, batchLoss] = await Promise.all([logits.argmax({ axis: 1 }).data(), loss.item()]);
        lossSum += batchLoss;
        correct += labels.filter((label, i) => guesses[i] === label).length;
      }),
    );
  }
  model.train();
  return {
    accuracy: correct / count,
    loss: lossSum / count,
    operations: device.work.flops - before,
    seconds: (performance.now() - started) / 1000,
  };
}
