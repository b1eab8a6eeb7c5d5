/** What `npm run study -- --quick` trains: a small decoder of our own, and questions that it learns in seconds. */

import { Decoder, type Device, type Pretrained, Random } from '../../src/index.ts';
import { llama } from '../../src/pretrained/llama.ts';
import { ignored, type Question, type Sample, type Split, type Splits } from '../language-model/samples.ts';

const digits = 16;
const length = 6;

/** Four blocks, untrained. */
export function smallModel(device: Device): Pick<Pretrained, 'model' | 'family'> {
  const model = new Decoder(
    {
      ...{
        vocabulary: digits,
        width: 32,
        blocks: 4,
        heads: 4,
        keyHeads: 2,
        headSize: 8,
        hidden: 64,
        contextLength: 32,
      },
      positions: { base: 1e4, size: 8, scaling: null },
      ...{ normalization: 'rms', epsilon: 1e-5, headNorms: false, feedForward: 'swiglu', tiedHead: true },
      biases: { queryKeyValue: false, output: false, feedForward: false },
      windows: [null, null, null, null],
    },
    { device, random: new Random(7) },
  );
  return { model, family: llama };
}

/** Which of the first two digits is the larger one. */
export function smallTask(): { name: string; splits: Splits } {
  const random = new Random(8);
  const split = (count: number): Split => {
    const samples: Sample[] = [];
    const questions: Question[] = [];
    for (let index = 0; index < count; index++) {
      const tokens = Array.from({ length }, () => random.integer(digits));
      const answer = tokens[0] > tokens[1] ? 0 : 1;
      const targets = [...new Array<number>(length - 1).fill(ignored), tokens[answer]];
      samples.push({ index, tokens, targets, learned: 1 });
      const continuations = [[tokens[0]], [tokens[1]]];
      questions.push({ choices: ['first', 'second'], answer, tokens: [{ context: tokens, continuations }] });
    }
    return { samples, questions };
  };
  return { name: 'larger', splits: { kind: 'choice', train: split(64), valid: split(16), test: split(64) } };
}
