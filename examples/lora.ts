/**
 * A LoRA fine-tune: `node scripts/run.mjs examples/lora.ts [STEPS]`.
 * A small transformer learns to count through the alphabet in strides. Adapters of rank 4 then teach it to count backwards, while
 * its own weights stay as they are; merged, they cost nothing, and taken out again they leave the first model.
 */
import {
  AdamW,
  addLoRA,
  crossEntropy,
  mergeLoRA,
  noGrad,
  openDevice,
  Random,
  readSafetensors,
  step,
  Transformer,
  tensor,
  unmergeLoRA,
  writeSafetensors,
} from 'frostgrad';

const steps = Number(process.argv[2] ?? 300);
await openDevice();
const random = new Random(1);
const model = new Transformer(
  { vocabulary: 26, width: 32, heads: 2, hidden: 64, blocks: 2, head: 'language-model', causal: true },
  { random },
);

await train(new AdamW(model.parameters(), { learningRate: 3e-3 }), 1);
console.log(`forwards:  loss ${await evaluate(1)}`);
const file = writeSafetensors(await model.stateDict()); // what `torch.save` would be; writeFile(path, file) keeps it
console.log(`backwards: loss ${await evaluate(-1)} before the fine-tune`);

addLoRA(model, { rank: 4, alpha: 8, dropout: 0.05, random }); // freezes all but the adapters
const trained = model.parameters().filter(({ isFrozen }) => !isFrozen);
const share = sizeOf(trained) / sizeOf(model.parameters());
console.log(`adapters: ${trained.length} matrices, ${(100 * share).toFixed(1)} % of the numbers`);
await train(new AdamW(trained, { learningRate: 1e-2 }), -1);

console.log(`backwards: loss ${await evaluate(-1)} with adapters`);
mergeLoRA(model);
console.log(`backwards: loss ${await evaluate(-1)} merged`);
unmergeLoRA(model);

const first = new Transformer(model.config, { random });
first.loadStateDict(readSafetensors(file).state);
console.log(`forwards:  loss ${await evaluate(1, first)}, the first model from its file`);

async function train(optimizer: AdamW, direction: 1 | -1): Promise<void> {
  model.train();
  for (let s = 0; s < steps; s++) {
    await step(() => {
      const loss = lossOf(s, direction);
      loss.backward();
      optimizer.step(loss);
    });
  }
}

async function evaluate(direction: 1 | -1, of = model): Promise<string> {
  of.eval();
  return (await step(() => noGrad(() => lossOf(-1, direction, of).item()))).toFixed(3);
}

/** Rows that count in strides; each batch begins at other letters. */
function lossOf(s: number, direction: 1 | -1, of = model) {
  const letter = (row: number, i: number) => (26 * 99 + 7 * s + row + direction * i * (1 + (row % 5))) % 26;
  const rows = Array.from({ length: 8 }, (_, row) => Array.from({ length: 13 }, (_, i) => letter(row, i)));
  const letters = tensor(rows, { dtype: 'i32' });
  return crossEntropy(of.call(letters.at(null, [0, -1])), letters.at(null, [1, null]));
}

function sizeOf(parameters: readonly { size: number }[]): number {
  return parameters.reduce((total, { size }) => total + size, 0);
}
