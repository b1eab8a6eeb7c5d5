/** Whole models beside transformers: logits, loss, every gradient, and ten steps of AdamW. */
import { readFileSync } from 'node:fs';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { AdamW, crossEntropy, type Device, loadPretrained, noGrad, step } from '../../src/index.ts';
import { onEachDevice } from '../devices.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { batchOf, difference, fixture, inFileForm, models, readFixture } from './fixtures.ts';

/** With FROSTGRAD_PARITY set the differences are printed, for the table in the documentation. */
const print = process.env.FROSTGRAD_PARITY ? console.log : () => {};

async function logitsOf(folder: string, name: string, device: Device) {
  const { model } = await loadPretrained(folder, { device });
  const expected = readFixture(`models/${name}/expected.safetensors`);
  const logits = await step(() => noGrad(() => model.call(batchOf(expected, device).tokens).data()));
  return { expected, logits };
}

onEachDevice((device) => {
  test.each(models)('%s: logits, loss, gradients, ten steps', { timeout: 60_000 }, async (name) => {
    const { expected, logits } = await logitsOf(fixture(`models/${name}`), name, device);
    const ofLogits = difference(expected.logits.data, logits);
    expect(ofLogits).toBeLessThan(2e-5);

    const { model, family } = await loadPretrained(fixture(`models/${name}`), { device });
    const weights = family.weights(model.config);
    const parameters = model.namedParameters();
    const optimizer = new AdamW([...parameters.values()], { learningRate: 1e-3, weightDecay: 0.1, maxGradientNorm: 1 });
    const losses: number[] = [];
    const ofGradients: [number, string][] = [];
    for (let i = 0; i < 10; i++) {
      await step(async () => {
        const { tokens, targets } = batchOf(expected, device);
        const loss = crossEntropy(model.call(tokens), targets);
        loss.backward();
        if (i === 0) {
          for (const weight of weights) {
            const gradient = await inFileForm(weight, parameters, 'gradients');
            ofGradients.push([difference(expected[`gradient.${weight.name}`].data, gradient), weight.name]);
          }
        }
        losses.push(await loss.item());
        optimizer.step(loss);
      });
    }
    const [worst, worstName] = ofGradients.toSorted((a, b) => b[0] - a[0])[0];
    expect(worst, worstName).toBeLessThan(1e-4);
    const count = Object.keys(expected).filter((key) => key.startsWith('gradient.')).length;
    expect(ofGradients).toHaveLength(count);
    expect(Math.abs(losses[0] / expected.loss.data[0] - 1)).toBeLessThan(1e-5);
    const ofLosses = difference(expected.losses.data, Float64Array.from(losses));
    expect(ofLosses).toBeLessThan(1e-4);

    let ofTrained = 0;
    for (const weight of weights) {
      const trained = await inFileForm(weight, parameters, 'values');
      const theirs = expected[`trained.${weight.name}`].data;
      // The gradient of GPT-2's key bias is rounding alone, which AdamW scales up to whole steps.
      const isKeyBias = (i: number) => weight.name.endsWith('c_attn.bias') && Math.floor((3 * i) / theirs.length) === 1;
      const compared = (values: typeof theirs) => values.filter((_, i) => !isKeyBias(i));
      const each = difference(compared(theirs), compared(trained));
      expect(each, weight.name).toBeLessThan(1e-4);
      ofTrained = Math.max(ofTrained, each);
    }
    const figures = [ofLogits, ofLosses, worst, ofTrained].map((each) => each.toExponential(1));
    print(`| ${name} | ${device.kind} | ${figures.join(' | ')} |`);
  });
});

onEachDevice((device) => {
  test.each(models)('%s: a configuration of before transformers 5 means the same', async (name) => {
    const folder = temporaryFolder();
    await cp(fixture(`models/${name}`), folder, { recursive: true });
    await writeFile(join(folder, 'config.json'), readFileSync(fixture(`models/${name}/config-before-5.json`)));
    const { expected, logits } = await logitsOf(folder, name, device);
    expect(difference(expected.logits.data, logits)).toBeLessThan(2e-5);
  });
});
