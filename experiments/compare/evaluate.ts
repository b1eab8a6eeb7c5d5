import { crossEntropy, type Device, noGrad, step, type Transformer, tensor } from '../../src/index.ts';
import { type Split, windowLength } from './tasks/task.ts';

export interface Evaluation {
  accuracy: number;
  loss: number;
  /** Floating-point operations the evaluation dispatched. */
  operations: number;
  seconds: number;
}

const batchSize = 200;

/** Accuracy and mean loss over the first `count` items of a split. Draws nothing from any random stream. */
export async function evaluate(
  model: Transformer,
  device: Device,
  split: Split,
  count = split.count,
): Promise<Evaluation> {
  const started = performance.now();
  const before = device.work.flops;
  let correct = 0;
  let lossSum = 0;
  model.eval();
  for (let from = 0; from < count; from += batchSize) {
    const to = Math.min(count, from + batchSize);
    await step(() =>
      noGrad(async () => {
        const tokens = split.tokens.subarray(from * windowLength, to * windowLength);
        const labels = split.labels.subarray(from, to);
        const logits = model.call(tensor(tokens, { device, shape: [to - from, windowLength] }));
        const loss = crossEntropy(logits, tensor(labels, { device }), { reduction: 'sum' });
        const [scores, batchLoss] = await Promise.all([logits.data(), loss.item()]);
        lossSum += batchLoss;
        const classes = logits.shape[1];
        for (let i = 0; i < to - from; i++) {
          if (largestIndex(scores.subarray(i * classes, (i + 1) * classes)) === labels[i]) correct++;
        }
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

function largestIndex(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
