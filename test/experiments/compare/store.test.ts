import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { RunFolder, RunFolderError } from '../../../command/run-folder.ts';
import { armUnits, UnitStore } from '../../../experiments/compare/store.ts';
import { unitKey, unitOf } from '../../../experiments/compare/units.ts';
import { temporaryFolder, writeFiles } from '../../temporary-folder.ts';
import { madeUpComparison } from './made-up.ts';

const unit = unitOf({ phase: 'sweep', task: 'parity', seed: 101, steps: 600, learningRate: 3e-3 });
const results = madeUpComparison({ evaluationTasks: 1, seeds: 1, lengths: [1] }).arms.slice(0, 2);

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

const storeOf = (folder: RunFolder) => new UnitStore(folder, armUnits);

test('a unit that was saved is loaded, by another process as well; one that was not is null', () => {
  const path = join(temporaryFolder(), 'deep', 'run');
  const store = storeOf(RunFolder.create(path, { a: 1 }));
  expect(store.load(unit)).toBeNull();
  store.save(unit, results);
  for (const each of [store, storeOf(RunFolder.join(path, { a: 1 })), storeOf(RunFolder.open(path))]) {
    expect(each.load(unit)).toEqual(results);
    expect(each.load({ ...unit, seed: 102 })).toBeNull();
  }
  expect(readdirSync(join(path, 'units'))).toEqual([`${unitKey(unit)}.json`]);
});

describe('a file that cannot be the unit is named and left as it is', () => {
  const whole = JSON.stringify({ unit, results });
  test.each([
    ['cut off', whole.slice(0, 80), 'is damaged'],
    ['empty', '', 'is damaged'],
    ['of something else', '{"unit":{},"results":[{"sweep":[]}]}', 'is no result of this command'],
    ['no object', '7', 'is no result of this command'],
    ['of other settings', JSON.stringify({ unit: { ...unit, steps: 300 }, results }), 'a unit with other settings'],
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
  from.save(unit, results);
  from.save({ ...unit, seed: 102 }, results);
  const own = results.slice(1);
  to.save(unit, own);
  to.copyFrom(from.folder);
  expect(to.load(unit)).toEqual(own);
  expect(to.load({ ...unit, seed: 102 })).toEqual(results);
});
