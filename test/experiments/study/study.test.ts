import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { arms, type Given, type StudyArm } from '../../../experiments/study/arms.ts';
import { Cell } from '../../../experiments/study/cell.ts';
import { contrast } from '../../../experiments/study/report.ts';
import type { Study, StudyResult } from '../../../experiments/study/results.ts';
import { smallModel, smallTask } from '../../../experiments/study/small.ts';
import { openDevice } from '../../../src/index.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const settings = {
  ...{ steps: 40, batch: 8, rank: 4, learningRate: { lora: 2e-2, full: 5e-3 } },
  ...{ validationItems: 16, testItems: null, prefixBytes: 2 ** 20 },
};
const given: Given = { thresholds: {}, followed: null, operationsOfStep: 1 };

function armOf(name: string, change: Partial<StudyArm> = {}): StudyArm {
  const arm = arms.find((each) => each.name === name);
  if (!arm) throw new Error(`there is no arm ${name}`);
  return { ...arm, ...change };
}

const newCell = async (method: 'lora' | 'full') =>
  new Cell({
    ...{ task: smallTask(), method, seed: 1, settings, pretrained: smallModel(await openDevice('cpu')) },
    ...{ signal: new AbortController().signal, onStep: () => {} },
  });

/** What does not depend on where an arm began, nor on what was kept. */
const outcome = ({ loss, right, steps, freezes, cost }: StudyResult) => ({
  ...{ loss, right, steps, freezes, operations: cost.operations + cost.saved },
});

test.each(['lora', 'full'] as const)(
  '%s: an arm is the same alone, as a branch, and without the cache',
  async (method) => {
    const cell = await newCell(method);
    const branch = await cell.train(armOf('freeze-out'), given);
    const alone = await cell.train(armOf('freeze-out', { role: 'rule', runsPrefix: true }), given);
    expect(alone.freezes).toHaveLength(28);
    expect([branch.loss, branch.right, branch.freezes]).toEqual([alone.loss, alone.right, alone.freezes]);
    expect(branch.cost.saved).toBeGreaterThan(0.05 * alone.cost.operations);
    expect((branch.cost.operations + branch.cost.saved) / alone.cost.operations).toBeCloseTo(1, 2);
    expect(branch.prefix?.block).toBe(4);
    // A later cell begins with the same weights, whatever this one froze.
    expect(outcome(await (await newCell(method)).train(armOf('freeze-out'), given))).toEqual(outcome(branch));
  },
);

test('points of the run to the end come where they should', async () => {
  const cell = await newCell('lora');
  const half = await cell.train(armOf('upper-half'), given);
  expect(new Set(half.freezes.map(({ step }) => step))).toEqual(new Set([0]));
  const found = new Map<string, StudyResult>();
  const [end, stop] = [armOf('to-the-end'), armOf('grades-operations-plain-stop')];
  await cell.trunk(
    [
      [end, null],
      [stop, half],
    ],
    (result) => found.set(result.arm, result),
  );
  const [whole, stopped] = [end, stop].map(({ name }) => found.get(name));
  if (!whole || !stopped) throw new Error('an arm is missing');
  expect(whole.steps).toBe(40);
  expect(stopped.cost.operations).toBeGreaterThanOrEqual(half.cost.operations);
  expect(stopped.cost.operations - half.cost.operations).toBeLessThan(whole.cost.operations / 39);
  const beside = contrast([whole, half, { ...half, arm: 'copy' }], 'copy', 'to-the-end');
  expect(beside?.ofQuestions.mean).toBeCloseTo(100 * (half.accuracy - whole.accuracy), 8);
  expect(beside?.operations).toBeCloseTo(half.cost.operations / whole.cost.operations, 12);
});

test('by block: the lowest freezes as a whole, and only then the next', async () => {
  const { freezes } = await (await newCell('lora')).train(armOf('grades-by-block'), given);
  const stepsOf = (block: number) =>
    freezes.filter(({ name }) => name.startsWith(`blocks.${block}.`)).map(({ step }) => step);
  const frozen = [0, 1, 2, 3].map(stepsOf).filter(({ length }) => length > 0);
  expect(frozen.length).toBeGreaterThan(1);
  for (const [block, steps] of frozen.entries()) {
    expect(stepsOf(block)).toEqual(new Array(7).fill(steps[0]));
    if (block > 0) expect(steps[0]).toBeGreaterThan(frozen[block - 1][0]);
  }
});

test('parts put together are the whole; what is missing is told', async () => {
  const script = fileURLToPath(new URL('../../../experiments/study/study.ts', import.meta.url));
  const folder = temporaryFolder();
  const at = (name: string) => join(folder, name);
  const run = async (...options: readonly string[]) => {
    const asked = [
      '--quick',
      '--steps',
      '24',
      '--device',
      'cpu',
      '--arms',
      'grades-from-below-operations-plain-stop,paper-v1',
    ];
    const child = spawn(process.execPath, ['--import', 'tsx', script, ...asked, ...options]);
    let printed = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (printed += chunk));
    return { code: (await once(child, 'close'))[0], printed };
  };
  const [whole, ...parts] = await Promise.all([
    run('--out', at('whole')),
    run('--shard', '1/2', '--out', at('a')),
    run('--shard', '2/2', '--out', at('b')),
  ]);
  for (const { code, printed } of [whole, ...parts]) expect(code, printed).toBe(0);
  const [incomplete, merged] = await Promise.all([
    run('--merge', at('a'), '--out', at('half')),
    run('--merge', `${at('a')},${at('b')}`, '--out', at('both')),
  ]);
  expect([incomplete.code, incomplete.printed]).toEqual([1, expect.stringContaining('lack 4 arms')]);
  expect([merged.code, merged.printed]).toEqual([0, expect.stringContaining('Smoke run')]);
  const read = (name: string): Study => JSON.parse(readFileSync(at(name), 'utf8'));
  const untimed = ({ results, calibrations }: Study) => ({ results: results.map(outcome), calibrations });
  expect(untimed(read('both/study.json'))).toEqual(untimed(read('whole/study.json')));
}, 120_000);
