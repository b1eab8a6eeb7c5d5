/** Adapters beside PEFT: logits, loss, every gradient, ten steps, merged and saved. */
import { readFileSync } from 'node:fs';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  AdamW,
  ArgumentError,
  addLoRA,
  crossEntropy,
  type Device,
  FileFormatError,
  gradientOf,
  loadAdapter,
  loadPretrained,
  mergeLoRA,
  noGrad,
  type Pretrained,
  Random,
  type StateDict,
  saveAdapter,
  savePretrained,
  step,
  UnsupportedModelError,
  unmergeLoRA,
} from '../../src/index.ts';
import { LoRAAdapter } from '../../src/nn/lora.ts';
import { fuse } from '../../src/pretrained/stored.ts';
import { cpu, onEachDevice } from '../devices.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { adapters, batchOf, difference, fixture, readFixture } from './fixtures.ts';

const print = process.env.FROSTGRAD_PARITY ? console.log : () => {};
const baseOf = (adapter: string): string =>
  JSON.parse(readFileSync(fixture(`adapters/${adapter}/adapter_config.json`), 'utf8')).base_model_name_or_path;

async function loadWith(adapter: string, device: Device, folder = fixture(`adapters/${adapter}`)) {
  const pretrained = await loadPretrained(fixture(`models/${baseOf(adapter)}`), { device });
  await loadAdapter(pretrained, folder);
  return pretrained;
}

const logitsOf = ({ model }: Pretrained, expected: StateDict) =>
  step(() => noGrad(() => model.call(batchOf(expected, model.tokens.table.device).tokens)).data());

/** Values or gradients of A and B by the names of PEFT. */
async function tensorsOf({ model, family }: Pretrained, of: 'values' | 'gradients') {
  const modules = model.namedModules();
  const found = new Map<string, Awaited<ReturnType<LoRAAdapter['a']['data']>>>();
  for (const { name, parameters } of family.weights(model.config)) {
    const all = parameters.map((path) => modules.get(path.replace(/weight$/, 'adapter')));
    const parts = all.filter((each): each is LoRAAdapter => each instanceof LoRAAdapter);
    if (parts.length === 0) continue;
    const read = (each: LoRAAdapter['a']) => (of === 'values' ? each : (gradientOf(each) ?? each)).data();
    const [a] = parts.map((each) => each.a);
    const bs = parts.map((each) => each.b);
    const named = (which: string) => `base_model.model.${name.replace(/weight$/, which)}.weight`;
    found.set(named('lora_A'), fuse(true, [a.shape], [await read(a)]));
    const values = await Promise.all(bs.map(read));
    found.set(
      named('lora_B'),
      fuse(
        true,
        bs.map(({ shape }) => shape),
        values,
      ),
    );
  }
  return found;
}

onEachDevice((device) => {
  test.each(adapters)('%s: logits, loss, gradients, ten steps, merged', { timeout: 60_000 }, async (name) => {
    const expected = readFixture(`adapters/${name}/expected.safetensors`);
    const pretrained = await loadWith(name, device);
    const ofLogits = difference(expected.logits.data, await logitsOf(pretrained, expected));
    expect(ofLogits).toBeLessThan(2e-5);

    mergeLoRA(pretrained.model);
    const ofMerged = difference(expected.merged_logits.data, await logitsOf(pretrained, expected));
    expect(ofMerged).toBeLessThan(2e-5);
    unmergeLoRA(pretrained.model);

    const trained = pretrained.model.parameters().filter(({ isFrozen }) => !isFrozen);
    const optimizer = new AdamW(trained, { learningRate: 1e-3, weightDecay: 0.1, maxGradientNorm: 1 });
    const losses: number[] = [];
    let ofGradients = 0;
    for (let i = 0; i < 10; i++) {
      await step(async () => {
        const { tokens, targets } = batchOf(expected, device);
        const loss = crossEntropy(pretrained.model.call(tokens), targets);
        loss.backward();
        if (i === 0) {
          const gradients = await tensorsOf(pretrained, 'gradients');
          const names = Object.keys(expected).filter((key) => key.startsWith('gradient.'));
          expect([...gradients.keys()].toSorted()).toEqual(names.map((each) => each.slice(9)).toSorted());
          for (const [key, gradient] of gradients) {
            const each = difference(expected[`gradient.${key}`].data, gradient);
            expect(each, key).toBeLessThan(1e-4);
            ofGradients = Math.max(ofGradients, each);
          }
        }
        losses.push(await loss.item());
        optimizer.step(loss);
      });
    }
    const ofLosses = difference(expected.losses.data, Float64Array.from(losses));
    expect(ofLosses).toBeLessThan(1e-4);
    let ofTrained = 0;
    for (const [key, values] of await tensorsOf(pretrained, 'values')) {
      const each = difference(expected[`trained.${key}`].data, values);
      expect(each, key).toBeLessThan(1e-4);
      ofTrained = Math.max(ofTrained, each);
    }
    const figures = [ofLogits, ofMerged, ofLosses, ofGradients, ofTrained].map((each) => each.toExponential(1));
    print(`| ${name} | ${device.kind} | ${figures.join(' | ')} |`);
  });
});

describe('saved', () => {
  test.each(adapters)('%s: the tensors are those of PEFT, byte for byte', async (name) => {
    const folder = temporaryFolder();
    await saveAdapter(await loadWith(name, cpu), folder);
    const read = (from: string, file: string) => readFileSync(join(from, file));
    const theirs = fixture(`adapters/${name}`);
    const file = 'adapter_model.safetensors';
    expect(read(folder, file).equals(read(theirs, file))).toBe(true);
    const configs = [folder, theirs].map((each) => JSON.parse(read(each, 'adapter_config.json').toString()));
    for (const key of ['r', 'lora_alpha', 'use_rslora', 'fan_in_fan_out', 'rank_pattern', 'bias', 'peft_type']) {
      expect(configs[0][key], key).toEqual(configs[1][key]);
    }
    const blocks = name === 'llama-one-block' ? 7 : configs[1].target_modules.length;
    expect(configs[0].target_modules).toHaveLength(blocks);
  });

  test('parts of a fused matrix with an A of their own become one adapter of a higher rank', async () => {
    const folder = temporaryFolder();
    const expected = readFixture('models/phi3/expected.safetensors');
    const made = await loadPretrained(fixture('models/phi3'), { device: cpu });
    addLoRA(made.model, { rank: 2, alpha: 3, random: new Random(1), target: ['query', 'value', 'down'] });
    for (const [path, parameter] of made.model.namedParameters()) {
      if (!path.endsWith('adapter.b')) continue;
      const random = new Random(2);
      const values = Float32Array.from({ length: parameter.size }, () => random.normal());
      made.model.loadStateDict({ ...(await made.model.stateDict()), [path]: { shape: parameter.shape, data: values } });
    }
    await saveAdapter(made, folder);
    const config = JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8'));
    expect(config.rank_pattern).toEqual({ 'model.layers.0.mlp.down_proj': 2, 'model.layers.1.mlp.down_proj': 2 });
    const again = await loadPretrained(fixture('models/phi3'), { device: cpu });
    const bare = await logitsOf(again, expected);
    await loadAdapter(again, folder);
    const logits = await logitsOf(made, expected);
    expect(difference(logits, await logitsOf(again, expected))).toBeLessThan(2e-6);
    expect(difference(logits, bare)).toBeGreaterThan(0.01);
  });

  test('what was merged and saved cannot be applied twice', async () => {
    const folder = temporaryFolder();
    const pretrained = await loadWith('llama', cpu);
    mergeLoRA(pretrained.model);
    await savePretrained(pretrained, folder);
    const merged = await loadPretrained(folder, { device: cpu });
    const expected = readFixture('adapters/llama/expected.safetensors');
    expect(difference(expected.merged_logits.data, await logitsOf(merged, expected))).toBeLessThan(2e-5);
    await expect(loadAdapter(merged, fixture('adapters/llama'))).rejects.toThrow('is part of the weights already');
    // Another adapter can, and the first one stays known.
    await loadAdapter(merged, fixture('adapters/llama-rslora'));
    mergeLoRA(merged.model);
    await savePretrained(merged, folder);
    const again = await loadPretrained(folder, { device: cpu });
    for (const each of ['llama', 'llama-rslora']) {
      await expect(loadAdapter(again, fixture(`adapters/${each}`))).rejects.toThrow('is part of the weights already');
    }
  });
});

describe('what does not fit is refused, and nothing is changed', () => {
  const changed = async (change: Record<string, unknown>) => {
    const folder = temporaryFolder();
    await cp(fixture('adapters/llama'), folder, { recursive: true });
    const path = join(folder, 'adapter_config.json');
    await writeFile(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...change }));
    return folder;
  };
  test.each<[Record<string, unknown>, RegExp]>([
    [{ peft_type: 'IA3' }, /peft_type is "IA3" \(supported: "LORA"\)/],
    [{ use_dora: true }, /use_dora is true/],
    [{ bias: 'all' }, /bias is "all" \(supported: "none"\)/],
    [{ modules_to_save: ['lm_head'] }, /modules_to_save is \["lm_head"\]/],
    [{ init_lora_weights: 'pissa' }, /init_lora_weights is "pissa"/],
  ])('%j', async (change, message) => {
    await expect(loadWith('llama', cpu, await changed(change))).rejects.toThrow(UnsupportedModelError);
    await expect(loadWith('llama', cpu, await changed(change))).rejects.toThrow(message);
  });
  test.each<[Record<string, unknown>, RegExp]>([
    [{ r: 3 }, /lora_A.weight has shape \[4, \d+\].* \[3, \d+\]/],
    [{ r: undefined }, /r is missing/],
    [{ lora_alpha: 0 }, /lora_alpha is 0/],
    [{ lora_dropout: 1 }, /lora_dropout is 1/],
    [{ rank_pattern: { '(': 4 } }, /"\(" is no regular expression/],
  ])('%j', async (change, message) => {
    await expect(loadWith('llama', cpu, await changed(change))).rejects.toThrow(FileFormatError);
    await expect(loadWith('llama', cpu, await changed(change))).rejects.toThrow(message);
  });

  test('an adapter of another model, none at all, and a second one', async () => {
    const mistral = await loadPretrained(fixture('models/mistral'), { device: cpu });
    await expect(loadAdapter(mistral, fixture('adapters/llama'))).rejects.toThrow(/has shape .* say/);
    await expect(loadAdapter(mistral, fixture('adapters/gpt2'))).rejects.toThrow(/fits no matrix of the model/);
    await expect(loadAdapter(mistral, '/nowhere')).rejects.toThrow('there is no such file');
    expect(mistral.model.parameters().some(({ isFrozen }) => isFrozen)).toBe(false);
    await expect(saveAdapter(mistral, temporaryFolder())).rejects.toThrow('has no adapters');
    const llama = await loadWith('llama', cpu);
    await expect(loadAdapter(llama, fixture('adapters/llama'))).rejects.toThrow(ArgumentError);
  });
});
