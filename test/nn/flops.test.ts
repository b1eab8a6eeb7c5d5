/** The operations that a device counts for one block, against a count by hand. */
import { expect, test } from 'vitest';
import {
  Block,
  Parameter,
  Random,
  requireGradient,
  snapshotWork,
  step,
  type Tensor,
  workSince,
} from '../../src/index.ts';
import { onEachDevice } from '../devices.ts';
import { random } from '../shapes.ts';

const [batch, time, width, heads, hidden] = [2, 6, 8, 2, 12];
const rows = batch * time;
const headSize = width / heads;
/** Query and key of one head that meet; with a causal mask, half of all (the diagonal is not counted apart). */
const pairs = 0.5 * batch * heads * time * time;

/** A multiplication and an addition for every element that meets another. */
const square = 2 * rows * width * width;
const oblong = 2 * rows * width * hidden;

const forward =
  4 * square + // query, key, value, output
  3 * oblong + // gate, up, down
  (4 * headSize + 5) * pairs + // scores, softmax, weighted sum
  2 * 6 * rows * width + // query and key turn by their position
  2 * 4 * rows * width + // two norms
  rows * hidden + // SwiGLU
  2 * rows * width; // two residual sums

/** Gradients of everything but the seven matrices. */
const backwardOfActivations =
  4 * square +
  3 * oblong +
  2 * rows * width + // row sums that both gradients of attention need
  (6 * headSize + 4) * pairs + // of the queries
  (8 * headSize + 4) * pairs + // of the keys and values
  2 * 6 * rows * width +
  2 * 9 * rows * width +
  2 * rows * hidden +
  5 * rows * width; // where a tensor was used more than once: two residuals, q with k and v, gate with up
/** Of each gain, over chunks of eight rows; then over the chunks. */
const gradientOfGain = 3 * rows * width + Math.ceil(rows / 8) * width;
const backwardOfGains = 2 * gradientOfGain;
const backwardOfMatrices = 4 * square + 3 * oblong;

onEachDevice((device) => {
  /** Forward and backward operations of a block with these parameters frozen. */
  async function count(frozen: RegExp | null, inputIsLive: boolean): Promise<[forward: number, backward: number]> {
    const config = { vocabulary: 4, width, heads, hidden, blocks: 1, causal: true, head: 'language-model' } as const;
    const block = new Block(config, { device, random: new Random(1) });
    const once = () =>
      step(() => {
        const x = random([batch, time, width], { seed: 1, device });
        const y: Tensor = block.call(inputIsLive ? requireGradient(x) : x);
        const seed = random(y.shape, { seed: 2, device });
        const between = snapshotWork(device);
        y.backward(seed);
        return between;
      });
    for (const [name, parameter] of block.namedParameters()) {
      if (frozen?.test(name) && parameter instanceof Parameter) parameter.freeze();
    }
    // The first pass computes the tables of the rotary positions.
    await once();
    const before = snapshotWork(device);
    const between = await once();
    const whole = workSince(device, before).flops;
    const backward = workSince(device, between).flops;
    for (const parameter of block.parameters()) parameter.release('its operations were counted');
    return [whole - backward, backward];
  }

  test('nothing frozen: the backward pass counts twice the products of the forward pass', async () => {
    expect(await count(null, true)).toEqual([forward, backwardOfActivations + backwardOfGains + backwardOfMatrices]);
  });

  test('a frozen matrix leaves out its own gradient, and nothing else', async () => {
    const whole = backwardOfActivations + backwardOfGains + backwardOfMatrices;
    expect(await count(/value/, true)).toEqual([forward, whole - square]);
    expect(await count(/gate|down/, true)).toEqual([forward, whole - 2 * oblong]);
    expect(await count(/query|key|value|output|gate|up|down/, true)).toEqual([forward, whole - backwardOfMatrices]);
  });

  test('with everything below frozen as well, the gradient stops there', async () => {
    // What is left live: the gain of the second norm and gate, up and down.
    const feedForward =
      3 * oblong + // their own gradients
      3 * oblong + // down to the norm
      2 * rows * hidden +
      gradientOfGain + // that of what the norm was given is not needed
      rows * width; // gate with up
    expect(await count(/attention/, false)).toEqual([forward, feedForward]);
  });
});
