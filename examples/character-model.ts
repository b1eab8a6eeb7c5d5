/**
 * A character model that speaks: `node scripts/run.mjs examples/character-model.ts [STEPS] [FILE]`.
 * It learns from a text (this repository's README by default) which character follows those before, and then goes on by itself.
 * 1,000 steps take about a minute on two cores.
 */
import { readFileSync } from 'node:fs';
import {
  AdamW,
  crossEntropy,
  multinomial,
  noGrad,
  openDevice,
  Random,
  step,
  Transformer,
  tensor,
  warmupCosine,
} from 'frostgrad';

const steps = Number(process.argv[2] ?? 1000);
const text = readFileSync(process.argv[3] ?? new URL('../README.md', import.meta.url), 'utf8');
const [batch, time] = [16, 64];

await openDevice();
const random = new Random(1);
const characters = [...new Set(text)].sort();
const numbers = new Map(characters.map((character, i) => [character, i]));
const tokens = Int32Array.from([...text], (character) => numbers.get(character) ?? 0);

const model = new Transformer(
  { vocabulary: characters.length, width: 64, heads: 4, hidden: 176, blocks: 2, head: 'language-model', causal: true },
  { random },
);
const optimizer = new AdamW(model.parameters(), { learningRate: 3e-3, weightDecay: 0.01, maxGradientNorm: 1 });
const schedule = warmupCosine({ peak: 3e-3, steps, warmup: Math.min(50, steps) });

for (let s = 1; s <= steps; s++) {
  await step(async () => {
    const rows = Array.from({ length: batch }, () => {
      const start = random.integer(tokens.length - time);
      return [...tokens.subarray(start, start + time + 1)];
    });
    const window = tensor(rows, { dtype: 'i32' });
    const loss = crossEntropy(model.call(window.at(null, [0, -1])), window.at(null, [1, null]));
    loss.backward();
    optimizer.learningRate = schedule(s);
    optimizer.step(loss);
    if (s % 100 === 0 || s === steps) console.log(`step ${s}: loss ${(await loss.item()).toFixed(3)}`);
  });
}

console.log(await speak('The ', 200));

/** Goes on from `start`, each character drawn by the model's probabilities, made a little bolder. */
async function speak(start: string, length: number): Promise<string> {
  model.eval();
  const spoken = Array.from(start, (character) => numbers.get(character) ?? 0);
  for (let i = 0; i < length; i++) {
    const next = await step(() =>
      noGrad(async () => {
        const logits = model.call(tensor([spoken.slice(-time)], { dtype: 'i32' })).at(0, -1);
        return await multinomial(logits.div(0.8).softmax(), 1, { random }).item();
      }),
    );
    spoken.push(next);
  }
  return spoken.map((token) => characters[token]).join('');
}
