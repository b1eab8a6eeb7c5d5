import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { RunFolder, RunFolderError } from '../../../command/run-folder.ts';
import { UnitStore } from '../../../experiments/compare/store.ts';
import { type SweepUnit, type UnitResult, unitKey } from '../../../experiments/compare/units.ts';
import { temporaryFolder, writeFiles } from '../../temporary-folder.ts';

const unit: SweepUnit = {
  phase: 'sweep',
  task: 'parity',
  adapters: false,
  seed: 101,
  steps: 600,
  learningRate: 3e-3,
};
const result: UnitResult = {
  sweep: [{ task: 'parity', steps: 600, learningRate: 3e-3, seed: 101, validationAccuracy: 0.5, adapters: false }],
  settings: [],
  calibrations: [],
  arms: [],
  timings: [],
  ablation: [],
};

/** Runs `act`, which must fail with a named error, and returns its message. */
function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof RunFolderError) return error.message;
    throw error;
  }
  throw new Error('it was not refused');
}

const storeOf = (folder: RunFolder) => new UnitStore(folder);

test('a unit that was saved is loaded, by another process as well; one that was not is null', () => {
  const path = join(temporaryFolder(), 'deep', 'run');
  const store = storeOf(RunFolder.create(path, { a: 1 }));
  expect(store.load(unit)).toBeNull();
  store.save(unit, result);
  for (const each of [store, storeOf(RunFolder.join(path, { a: 1 })), storeOf(RunFolder.open(path))]) {
    expect(each.load(unit)).toEqual(result);
    expect(each.load({ ...unit, seed: 102 })).toBeNull();
  }
  expect(readdirSync(join(path, 'units'))).toEqual([`${unitKey(unit)}.json`]);
});

describe('a file that cannot be the unit is named and left as it is', () => {
  const whole = JSON.stringify({ unit, result });
  test.each([
    ['cut off', whole.slice(0, 80), 'is damaged'],
    ['empty', '', 'is damaged'],
    ['of something else', '{"unit":{},"result":{"sweep":[]}}', 'is no result of this command'],
    ['no object', '7', 'is no result of this command'],
    ['of other settings', JSON.stringify({ unit: { ...unit, steps: 300 }, result }), 'a unit with other settings'],
  ])('%s', (name, content, message) => {
    const path = temporaryFolder();
    const file = `${unitKey(unit)}.json`;
    writeFiles(path, { 'config.json': '{}', [`units/${file}`]: content });
    const refused = refusal(() => storeOf(RunFolder.open(path)).load(unit));
    expect(refused).toContain(message);
    expect(refused).toContain(file);
    expect(readFileSync(join(path, 'units', file), 'utf8')).toBe(content);
    if (name === 'of other settings') return;
    const target = RunFolder.create(temporaryFolder(), {});
    expect(refusal(() => storeOf(target).copyFrom(RunFolder.open(path)))).toContain(message);
    expect(existsSync(join(target.path, 'units', file))).toBe(false);
  });
});

test('copying takes over what is missing and overwrites nothing', () => {
  const [from, to] = [temporaryFolder(), temporaryFolder()].map((path) => storeOf(RunFolder.create(path, {})));
  from.save(unit, result);
  from.save({ ...unit, seed: 102 }, result);
  const own = { ...result, sweep: [] };
  to.save(unit, own);
  to.copyFrom(from.folder);
  expect(to.load(unit)).toEqual(own);
  expect(to.load({ ...unit, seed: 102 })).toEqual(result);
});
