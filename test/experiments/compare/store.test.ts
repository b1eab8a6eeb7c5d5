import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { newestUnfinished, Store } from '../../../experiments/compare/store.ts';
import { type SweepUnit, type UnitResult, unitKey } from '../../../experiments/compare/units.ts';
import { RunFolderError } from '../../../experiments/fragments/run-folder.ts';
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
  arms: [],
  timings: [],
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

test('a unit that was saved is loaded, by another process as well; one that was not is null', () => {
  const folder = join(temporaryFolder(), 'deep', 'run');
  const store = Store.open(folder, { a: 1 }, 'new');
  expect(store.load(unit)).toBeNull();
  store.save(unit, result);
  for (const each of [store, Store.open(folder, { a: 1 }, 'join'), Store.read(folder)]) {
    expect(each.load(unit)).toEqual(result);
    expect(each.load({ ...unit, seed: 102 })).toBeNull();
  }
  expect(readdirSync(join(folder, 'units'))).toEqual([`${unitKey(unit)}.json`]);
});

test('a folder is joined with the settings it was made with, and with no others', () => {
  const folder = temporaryFolder();
  Store.open(folder, { a: 1 }, 'join');
  expect(refusal(() => Store.open(folder, { a: 1 }, 'new'))).toContain('go on with it (--resume)');
  expect(refusal(() => Store.open(folder, { a: 2 }, 'join'))).toContain('with other settings');
  expect(readFileSync(join(folder, 'config.json'), 'utf8')).toBe('{\n "a": 1\n}\n');
});

describe('a file that cannot be the unit is named and left as it is', () => {
  const whole = JSON.stringify({ unit, result });
  test.each([
    ['cut off', whole.slice(0, 80), 'is damaged'],
    ['empty', '', 'is damaged'],
    ['of something else', '{"unit":{},"result":{"sweep":[]}}', 'is no result of this comparison'],
    ['no object', '7', 'is no result of this comparison'],
    ['of other settings', JSON.stringify({ unit: { ...unit, steps: 300 }, result }), 'a unit with other settings'],
  ])('%s', (name, content, message) => {
    const folder = temporaryFolder();
    const file = `${unitKey(unit)}.json`;
    writeFiles(folder, { [`units/${file}`]: content });
    const refused = refusal(() => Store.read(folder).load(unit));
    expect(refused).toContain(message);
    expect(refused).toContain(file);
    expect(readFileSync(join(folder, 'units', file), 'utf8')).toBe(content);
    if (name === 'of other settings') return;
    const target = Store.open(temporaryFolder(), {}, 'new');
    expect(refusal(() => target.copyUnitsFrom(Store.read(folder)))).toContain(message);
    expect(existsSync(join(target.path, 'units', file))).toBe(false);
  });
});

test('copying takes over what is missing and overwrites nothing', () => {
  const [from, to] = [temporaryFolder(), temporaryFolder()].map((path) => Store.open(path, {}, 'new'));
  from.save(unit, result);
  from.save({ ...unit, seed: 102 }, result);
  const own = { ...result, sweep: [] };
  to.save(unit, own);
  to.copyUnitsFrom(from);
  expect(to.load(unit)).toEqual(own);
  expect(to.load({ ...unit, seed: 102 })).toEqual(result);
});

test('what is no comparison, or cannot be written, is a named error', () => {
  const folder = temporaryFolder();
  expect(refusal(() => Store.read(folder))).toContain('holds no comparison');
  writeFileSync(join(folder, 'file'), '');
  expect(refusal(() => Store.open(join(folder, 'file'), {}, 'new'))).toContain('cannot make');
});

test('the newest comparison without results is the one to resume', () => {
  const folder = temporaryFolder();
  expect(newestUnfinished(join(folder, 'none'))).toBeNull();
  writeFiles(folder, {
    'compare-1/config.json': '{}',
    'compare-2/config.json': '{}',
    'compare-3/config.json': '{}',
    'compare-3/comparison.json': '{}',
    'start-4/config.json': '{}',
  });
  expect(newestUnfinished(folder)).toBe(join(folder, 'compare-2'));
});
