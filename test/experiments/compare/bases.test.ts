import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { buildClassifier, loadBase } from '../../../experiments/compare/bases.ts';
import { loadTask } from '../../../experiments/compare/tasks.ts';
import { CpuDevice } from '../../../src/tensor/cpu/cpu-device.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

// Runs have one thread each.
const device = new CpuDevice({ threads: 1 });
let folder: string;

beforeEach(() => {
  folder = join(temporaryFolder(), 'bases');
});

function load(steps: number) {
  const told: string[] = [];
  return loadBase('sequences', device, { folder, steps }, (line) => told.push(line)).then((state) => ({
    state,
    told,
  }));
}
const files = () => readdirSync(folder);

test('a base is pretrained once and read from then on, the same weights', async () => {
  const made = await load(3);
  expect(made.told.join()).toContain("pretraining the base 'sequences': step 3 of 3");
  expect(await load(3)).toEqual({ state: made.state, told: [] });
  expect(files()).toHaveLength(1);
  const longer = await load(4);
  expect(longer.state['head.weight']).not.toEqual(made.state['head.weight']);
  expect(files()).toHaveLength(2);
});

test('a base that was killed on its way goes on, to the same weights', async () => {
  const { state } = await load(4);
  rmSync(folder, { recursive: true });
  const killed = loadBase('sequences', device, { folder, steps: 4 }, (line) => {
    if (line.includes('step 2 of 4')) throw new Error('killed');
  });
  await expect(killed).rejects.toThrow('killed');
  const again = await load(4);
  expect(again.told.map((line) => /step \d/.exec(line)?.[0])).toEqual(['step 3', 'step 4']);
  expect(again.state).toEqual(state);
  expect(files()).toHaveLength(1);
});

test('a file that is damaged is said to be, and made again', async () => {
  const { state } = await load(2);
  const path = join(folder, files()[0]);
  const whole = readFileSync(path);
  writeFileSync(path, whole.subarray(0, whole.length / 2));
  const again = await load(2);
  expect(again.told[0]).toMatch(/cannot be used and is made again \(safetensors: /);
  expect(again.state).toEqual(state);
  expect(readFileSync(path)).toEqual(whole);
});

test('a classifier has the weights of its base, and a head by its seed', async () => {
  const { state } = await load(2);
  const task = loadTask('contains');
  const build = async (seed: number, perturb = 0) =>
    (await buildClassifier({ task, device, seed, base: state, adapters: false }, perturb)).stateDict();
  const [one, other, perturbed] = [await build(1), await build(2), await build(1, 1e-5)];
  const { 'head.weight': head, ...body } = one;
  const { 'head.weight': ofBase, ...bodyOfBase } = state;
  expect(body).toEqual(bodyOfBase);
  expect(head.shape).not.toEqual(ofBase.shape);
  expect(other['head.weight']).not.toEqual(head);
  expect(other['tokens.table']).toEqual(one['tokens.table']);
  const [before, after] = [one, perturbed].map((each) => each['blocks.0.attention.query.weight'].data);
  expect(after[0] / before[0]).toBeCloseTo(1 + 1e-5, 6);
  expect(after).not.toEqual(before);
});
