import { crossEntropy, type Device, noGrad, Random, step, Transformer, tensor } from '../../src/index.ts';
import type { FragmentDataset } from '../data/fragments.ts';

/** Bytes a fragment, one token each. */
export const WINDOW_BYTES = 32;
export const BYTE_VALUES = 256;
export const EVALUATION_BATCH = 167;

const BLOCKS = 2;

/** Query, key, value, output, gate, up and down of each block: what GradES watches. */
export const MATRICES = 7 * BLOCKS;

/** Two blocks of the usual decoder: RMSNorm, rotary positions, q k v o attention, SwiGLU gate up down. */
export function buildModel(device: Device, seed: number, classes: number): Transformer {
  const config = {
    vocabulary: BYTE_VALUES,
    width: 32,
    heads: 2,
    hidden: 88,
    blocks: BLOCKS,
    causal: true,
    head: { classes },
  } as const;
  return new Transformer(config, { device, random: new Random(seed) });
}

export interface Evaluation {
  accuracy: number;
  loss: number;
  seconds: number;
}

/** Accuracy and mean loss over the test fragments, or the first few batches of them. It leaves nothing behind. */
export async function evaluate(
  model: Transformer,
  device: Device,
  { test }: FragmentDataset,
  batches = Number.POSITIVE_INFINITY,
): Promise<Evaluation> {
  const total = Math.min(test.count, batches * EVALUATION_BATCH);
  const started = performance.now();
  let correct = 0;
  let lossSum = 0;
  model.eval();
  for (let from = 0; from < total; from += EVALUATION_BATCH) {
    const to = Math.min(total, from + EVALUATION_BATCH);
    const count = to - from;
    await step(() =>
      noGrad(async () => {
        const bytes = test.tokens.subarray(from * WINDOW_BYTES, to * WINDOW_BYTES);
        const labels = test.labels.subarray(from, to);
        const logits = model.call(tensor(bytes, { device, shape: [count, WINDOW_BYTES] }));
        const loss = crossEntropy(logits, tensor(labels, { device }), { reduction: 'sum' });
        const [scores, batchLoss] = await Promise.all([logits.data(), loss.item()]);
        lossSum += batchLoss;
        const classes = scores.length / count;
        for (let i = 0; i < count; i++) {
          if (largestIndex(scores.subarray(i * classes, (i + 1) * classes)) === labels[i]) correct++;
        }
      }),
    );
  }
  model.train();
  const seconds = (performance.now() - started) / 1000;
  return { accuracy: correct / total, loss: lossSum / total, seconds };
}

function largestIndex(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
