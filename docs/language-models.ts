/** What docs/language-models.md shows: `node scripts/run.mjs docs/language-models.ts FOLDER`. */

import {
  addLoRA,
  generate,
  loadAdapter,
  loadPretrained,
  loadTokenizer,
  mergeLoRA,
  openDevice,
  Random,
  saveAdapter,
  savePretrained,
  TextStream,
} from '../src/index.ts';

const folder = process.argv[2] ?? 'SmolLM2-135M-Instruct';

const device = await openDevice('cpu');
const pretrained = await loadPretrained(folder, { device });
const tokenizer = await loadTokenizer(folder);
const { model, endTokens } = pretrained;

const chat = tokenizer.chat([{ role: 'user', content: 'What is 2 + 2?' }]);
const prompt = tokenizer.encode(chat, { addSpecialTokens: false });
const stream = new TextStream(tokenizer);
for await (const token of generate(model, prompt, { maxTokens: 32, stopTokens: endTokens })) {
  process.stdout.write(stream.push(token));
}
console.log(stream.end());

addLoRA(model, { rank: 8, alpha: 16, random: new Random(1), target: ['query', 'value'] });
await saveAdapter(pretrained, 'runs/adapter'); // as PEFT does
const again = await loadPretrained(folder, { device });
await loadAdapter(again, 'runs/adapter'); // or one that PEFT saved
mergeLoRA(again.model);
await savePretrained(again, 'runs/merged', { dtype: 'bf16' }); // transformers loads it
