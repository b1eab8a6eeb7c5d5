/**
 * The half of a comparison that runs here: 50 steps of fine-tuning, whose batches, first adapter, losses and seconds it leaves for
 * finetuning.py, which takes the same steps with transformers and PEFT.
 *
 *     node scripts/run.mjs test/reference/finetuning.ts MODEL TEXT OUT lora|layers [steps]
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import {
  AdamW,
  addLoRA,
  loadPretrained,
  loadTokenizer,
  openDevice,
  Random,
  saveAdapter,
  Training,
  tensor,
} from '../../src/index.ts';

const [folder, text, out, mode, count = '50'] = process.argv.slice(2);
const steps = Number(count);
const [BATCH, TIME, LAYERS] = [8, 64, 8];
const settings = { learningRate: 2e-4, weightDecay: 0.01, maxGradientNorm: 1 };

mkdirSync(out, { recursive: true });
const device = await openDevice('cpu');
const pretrained = await loadPretrained(folder, { device });
const { model } = pretrained;
if (mode === 'lora') {
  addLoRA(model, { rank: 8, alpha: 16, random: new Random(1) });
  await saveAdapter(pretrained, `${out}/initial`);
} else {
  for (const parameter of model.parameters()) parameter.freeze();
  for (const block of model.blocks.slice(-LAYERS)) for (const parameter of block.parameters()) parameter.thaw();
}
const tokens = (await loadTokenizer(folder)).encode(readFileSync(text, 'utf8').slice(0, 400_000));
const random = new Random(2);
const batches = Array.from({ length: steps }, () =>
  Array.from({ length: BATCH }, () => {
    const start = random.integer(tokens.length - TIME - 1);
    return tokens.slice(start, start + TIME + 1);
  }),
);
const training = new Training({
  model,
  optimizer: new AdamW(
    model.parameters().filter(({ isFrozen }) => !isFrozen),
    settings,
  ),
  steps,
  loss(step) {
    const part = (from: number) =>
      tensor(
        batches[step - 1].map((row) => row.slice(from, from + TIME)),
        { device, dtype: 'i32' },
      );
    return model.loss(part(0), part(1));
  },
});
const [losses, seconds]: [number[], number[]] = [[], []];
let started = performance.now();
await training.run({
  async onStep() {
    losses.push(await training.loss());
    seconds.push((performance.now() - started) / 1000);
    console.log(`step ${training.step}: loss ${losses.at(-1)?.toFixed(4)}, ${seconds.at(-1)?.toFixed(2)} s`);
    started = performance.now();
  },
});
const residentBytes = 1024 * process.resourceUsage().maxRSS;
const results = { mode, layers: LAYERS, settings, node: process.version, adapter: device.adapter, residentBytes };
writeFileSync(`${out}/ours.json`, `${JSON.stringify({ ...results, batches, losses, seconds })}\n`);
