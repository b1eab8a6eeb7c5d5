/** Folders that must not be loaded, and what is said of them. */
import { readFileSync } from 'node:fs';
import { cp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  FileFormatError,
  loadPretrained,
  parameterCount,
  UnsupportedModelError,
  writeSafetensors,
} from '../../src/index.ts';
import { cpu } from '../devices.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { fixture, models, readFixture } from './fixtures.ts';

/** A copy of a fixture with a changed configuration; undefined takes a key out. */
async function changed(name: string, change: Record<string, unknown>, file = 'config.json'): Promise<string> {
  const folder = temporaryFolder();
  await cp(fixture(`models/${name}`), folder, { recursive: true });
  const config = { ...JSON.parse(readFileSync(join(folder, file), 'utf8')), ...change };
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  return folder;
}

const loading = (folder: string) => expect(loadPretrained(folder, { device: cpu })).rejects;

describe('a family or an option that is not supported is named', () => {
  const linearFactor = { rope_theta: 500, rope_type: 'linear', factor: 2 };
  test.each<[string, string, Record<string, unknown>, RegExp]>([
    ['another family', 'llama', { architectures: ['GemmaForCausalLM'] }, /"GemmaForCausalLM".*LlamaForCausalLM, Qwen2/],
    ['no family', 'llama', { architectures: undefined }, /is missing \(supported: LlamaForCausalLM/],
    ['an activation', 'llama', { hidden_act: 'gelu' }, /LlamaForCausalLM: the option hidden_act is "gelu".*"silu"/],
    ['exact GELU', 'gpt2', { activation_function: 'gelu' }, /activation_function is "gelu" .*"gelu_new"/],
    ['a scaling', 'llama', { rope_parameters: { rope_type: 'yarn', factor: 2 } }, /"yarn" .*default, linear, llama3/],
    ['a scaling of old', 'qwen2', { rope_parameters: undefined, rope_scaling: { type: 'dynamic' } }, /"dynamic"/],
    ['a factor', 'llama', { rope_parameters: { ...linearFactor, beta_fast: 32 } }, /rope_scaling.beta_fast is 32/],
    ['a part of a head', 'phi3', { rope_parameters: undefined, partial_rotary_factor: 0.4 }, /partial_rotary_factor/],
    ['another layer', 'qwen3', { layer_types: ['full_attention', 'linear_attention'] }, /"linear_attention"/],
    ['scaled attention', 'gpt2', { scale_attn_by_inverse_layer_idx: true }, /scale_attn_by_inverse_layer_idx is true/],
    ['an unknown option', 'mistral', { quantization_config: { bits: 4 } }, /quantization_config is \{"bits":4\}/],
  ])('%s', async (_, name, change, message) => {
    const folder = await changed(name, change);
    await loading(folder).toThrow(UnsupportedModelError);
    await loading(folder).toThrow(message);
  });
});

describe('files that do not fit', () => {
  test.each<[string, string, Record<string, unknown>, RegExp]>([
    ['a size that is missing', 'llama', { hidden_size: undefined }, /hidden_size is missing/],
    ['a size that is none', 'llama', { vocab_size: -1 }, /vocab_size is -1/],
    ['heads that do not divide', 'gpt2', { n_head: 5 }, /head/],
    [
      'a giant',
      'llama',
      { intermediate_size: 3e7 },
      /describes a model of \d{10} parameters, and the weights are 22\d+ numbers/,
    ],
    ['a billion blocks', 'gpt2', { n_layer: 1e9 }, /n_layer is 1000000000 \(allowed: whole numbers from 1 to 4096\)/],
    ['another width', 'llama', { intermediate_size: 47 }, /gate_proj.weight has shape \[48, 32\].* \[47, 32\]/],
    ['a block too many', 'llama', { num_hidden_layers: 3 }, /missing: model.layers.2.input_layernorm.weight/],
    ['a block too few', 'llama', { num_hidden_layers: 1 }, /not expected: model.layers.1/],
    ['a head that is not tied', 'llama-tied', { tie_word_embeddings: false }, /missing: lm_head.weight/],
    ['an epsilon of 0', 'llama', { rms_norm_eps: 0 }, /rms_norm_eps is 0/],
    ['a list of another length', 'qwen3', { layer_types: [] }, /layer_types must be a list of 2/],
  ])('%s', async (_, name, change, message) => {
    await loading(await changed(name, change)).toThrow(message);
  });

  test.each(models)('%s: the parameters are counted before they are made', async (name) => {
    const { model } = await loadPretrained(fixture(`models/${name}`), { device: cpu });
    expect(parameterCount(model.config)).toBe(model.parameters().reduce((sum, { size }) => sum + size, 0));
  });

  test('no folder, no config.json, no weights', async () => {
    await loading('/nowhere').toThrow(FileFormatError);
    await loading('/nowhere').toThrow('/nowhere/config.json: there is no such file');
    const folder = await changed('llama', {});
    await rm(join(folder, 'model.safetensors'));
    await loading(folder).toThrow(/model.safetensors: there is no such file/);
    await writeFile(join(folder, 'config.json'), '[]');
    await loading(folder).toThrow('is not the JSON of an object');
  });
});

test('GPT-2 as it was published: short names, and masks among the weights', async () => {
  const folder = await changed('gpt2', {});
  const short = Object.fromEntries(
    Object.entries(readFixture('models/gpt2/model.safetensors')).map(([name, each]) => [
      name.replace('transformer.', ''),
      each,
    ]),
  );
  const mask = { 'h.0.attn.bias': { shape: [1], data: Float32Array.of(1) } };
  await writeFile(join(folder, 'model.safetensors'), writeSafetensors({ ...short, ...mask }));
  const { model } = await loadPretrained(folder, { device: cpu });
  expect(await model.tokens.table.data()).toEqual(short['wte.weight'].data);
});
