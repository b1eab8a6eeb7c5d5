/** A unit that is killed again and again goes on each time, and comes to what an undisturbed one does. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { armTable } from '../../../experiments/compare/arms.ts';
import { buildBase } from '../../../experiments/compare/bases.ts';
import type { ArmResult } from '../../../experiments/compare/results.ts';
import type { RunSource } from '../../../experiments/compare/run.ts';
import { loadTask } from '../../../experiments/compare/tasks.ts';
import { calibrate, trainArms } from '../../../experiments/compare/train-arms.ts';
import { UnderWay } from '../../../experiments/compare/under-way.ts';
import { CpuDevice } from '../../../src/tensor/cpu/cpu-device.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const steps = 30;
/** A tenth of the schedule. */
const every = 3;
const setting = { threshold: 0.95, grace: 0.3, horizon: 0.1, patience: 0.02 };

async function sourceOf(onStep: () => void, adapters = false): Promise<RunSource> {
  const device = new CpuDevice({ threads: 1 });
  const whole = loadTask('contains');
  const few = { tokens: whole.test.tokens.subarray(0, 60 * 32), labels: whole.test.labels.subarray(0, 60), count: 60 };
  const base = await buildBase('sequences', device).stateDict();
  const task = { ...whole, validation: few, test: few };
  return { device, task, base, seed: 3, steps, learningRate: 3e-3, adapters, onStep };
}

const withGiven = (source: RunSource, arms: readonly string[]) => ({
  ...{ ...source, arms, table: armTable({}), length: 1, part: 'test' as const, timed: false },
  ...{ settings: { 'full+grades': setting, 'lora+grades': setting }, thresholds: { 'paper-v3': 2 } },
});

/** What the device holds is no part of it: a process keeps constants of what it trained before. */
const found = (results: ArmResult[]) =>
  results.map((each) => ({ ...each, memory: each.memory.map(({ step }) => step) }));

/** Performs a unit undisturbed, and once more so that only a few more steps are made before each kill. */
async function bothWays(
  perform: (source: RunSource, underWay: UnderWay) => Promise<ArmResult[]>,
  adapters = false,
): Promise<{ undisturbed: unknown; resumed: unknown; kills: number; made: number; needed: number }> {
  let [made, killAfter] = [0, Number.POSITIVE_INFINITY];
  const source = await sourceOf(() => {
    made++;
    if (--killAfter === 0) throw new Error('killed');
  }, adapters);
  const undisturbed = found(await perform(source, UnderWay.unkept()));
  const needed = made;
  made = 0;
  const path = join(temporaryFolder(), 'unit.checkpoint');
  for (let kills = 0; ; kills++) {
    killAfter = 2 * every + 2;
    try {
      const resumed = found(await perform(source, await UnderWay.open(path, { steps })));
      return { undisturbed, resumed, kills, made, needed };
    } catch (error) {
      if (!(error instanceof Error) || error.message !== 'killed') throw error;
    }
  }
}

test('arms of every kind', async () => {
  const arms = ['full+stopping-best', 'full+grades', 'plain-stop', 'reversed', 'plateau', 'paper-v3'];
  const { undisturbed, resumed, kills, made, needed } = await bothWays((source, underWay) =>
    trainArms(withGiven(source, arms), underWay),
  );
  expect(resumed).toEqual(undisturbed);
  expect(kills).toBeGreaterThan(15);
  // No kill costs more than the steps since the last checkpoint.
  expect(made - needed).toBeLessThanOrEqual(kills * (every - 1));
}, 120_000);

test('adapters', async () => {
  const { undisturbed, resumed, kills } = await bothWays(
    (source, underWay) => trainArms(withGiven(source, ['lora+grades']), underWay),
    true,
  );
  expect(resumed).toEqual(undisturbed);
  expect(kills).toBeGreaterThan(2);
}, 120_000);

test('a calibration', async () => {
  const { undisturbed, resumed, kills } = await bothWays(calibrate);
  expect(undisturbed).toMatchObject([{ threshold: expect.any(Number) }, {}, {}]);
  expect(resumed).toEqual(undisturbed);
  expect(kills).toBeGreaterThan(3);
}, 120_000);

test('a checkpoint that is damaged, or of another unit, is not gone on from', async () => {
  const path = join(temporaryFolder(), 'unit.checkpoint');
  const source = await sourceOf(() => {});
  const options = withGiven({ ...source, steps: 10 }, ['full', 'full+stopping']);
  await trainArms(options, await UnderWay.open(path, { unit: 1 }));
  expect((await UnderWay.open(path, { unit: 1 })).done.size).toBe(1);
  expect((await UnderWay.open(path, { unit: 2 })).done.size).toBe(0);
  writeFileSync(path, readFileSync(path).subarray(0, 1000));
  expect((await UnderWay.open(path, { unit: 1 })).done.size).toBe(0);
  expect(existsSync(path)).toBe(true);
}, 120_000);
