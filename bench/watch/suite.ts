/** What GradES costs while nothing freezes, on the step of the small GPT. */

import { formatPercent } from '../../command/format.ts';
import { LoadMeter } from '../../command/load-meter.ts';
import { type Device, type GradESOptions, gradientChange, gradientMagnitude, weightChange } from '../../src/index.ts';
import { type MeasuredCase, send } from '../child-report.ts';
import { load, milliseconds, table, verdict, who } from '../report.ts';
import type { Row } from '../row.ts';
import { missingDispatches, timeDispatches } from '../step/dispatch-times.ts';
import { smallGpt } from '../step/small-gpt.ts';
import type { Suite } from '../suite.ts';
import { time, timeEach } from '../timing.ts';

/** The most that the project allows the default rule to add to a step. */
const mostOfStep = 0.01;

interface WatchCase {
  name: string;
  rule: Pick<GradESOptions, 'signal' | 'interval'>;
  /** Whether the training reads its loss after every step, with or without a rule. */
  readsLoss?: boolean;
}

const cases: readonly WatchCase[] = [
  { name: 'default', rule: {} },
  { name: 'default, loss read every step', rule: {}, readsLoss: true },
  { name: 'split-half, every step', rule: { interval: 1 } },
  { name: 'split-half, every step, loss read', rule: { interval: 1 }, readsLoss: true },
  { name: 'gradient, every step', rule: { signal: gradientMagnitude, interval: 1 } },
  { name: 'gradient-change, every step', rule: { signal: gradientChange, interval: 1 } },
  { name: 'weight-change, every step', rule: { signal: weightChange, interval: 1 } },
];

/** Never beyond its grace period, so that nothing freezes. By default such a schedule has a check at every fourth step. */
const neverFreezing = { steps: 10_000, grace: 1 };
const defaultInterval = 4;

const warmSteps = 6;
/** A multiple of the steps between two checks, so that every stretch holds as many. */
const stepsOfStretch = 4;
const pairs = { full: 100, quick: 2 };

export const suite: Suite = {
  parts: { watching: { measure: measureWatching } },
  report,
};

async function measureWatching(device: Device, quick: boolean): Promise<MeasuredCase[]> {
  const measured: MeasuredCase[] = [];
  for (const each of cases) {
    await send({ progress: each.name });
    measured.push(await measureCase(device, each, quick ? pairs.quick : pairs.full));
  }
  return measured;
}

/** Two trainings of the same model, one watched: a stretch of one, a stretch of the other, and so on. */
async function measureCase(
  device: Device,
  { name, rule, readsLoss = false }: WatchCase,
  count: number,
): Promise<MeasuredCase> {
  const [plain, watched] = [undefined, { ...neverFreezing, ...rule }].map((watching) => ({
    ...{ gpt: smallGpt(device, { readsLoss, rule: watching }), milliseconds: [] as number[], readBacks: 0 },
  }));
  for (const { gpt } of [plain, watched]) await timeEach(warmSteps, () => gpt.step());
  let readBacks = 0;
  const { download } = device;
  device.download = (...place) => {
    readBacks++;
    return download.apply(device, place);
  };
  const meter = new LoadMeter();
  for (let i = 0; i < count; i++) {
    // Who goes first changes, so that a drift of the machine favours neither.
    for (const side of i % 2 === 0 ? [plain, watched] : [watched, plain]) {
      await device.synchronize();
      readBacks = 0;
      const stretch = await time(async () => {
        for (let s = 0; s < stepsOfStretch; s++) await side.gpt.step();
        await device.synchronize();
      });
      side.milliseconds.push(stretch / stepsOfStretch);
      side.readBacks = readBacks;
    }
  }
  const othersShare = meter.othersShare();
  device.download = download;
  const { interval = defaultInterval } = rule;
  while (watched.gpt.training.step % interval !== 0) await watched.gpt.step();
  const before = await timeDispatches(device, () => plain.gpt.step());
  const after = await timeDispatches(device, () => watched.gpt.step());
  const [added, gone] = [missingDispatches(after, before), missingDispatches(before, after)];
  for (const { gpt } of [plain, watched]) gpt.release();
  return {
    ...{ case: name, milliseconds: watched.milliseconds, othersShare },
    series: {
      plain: plain.milliseconds,
      more: plain.milliseconds.map((each, i) => watched.milliseconds[i] / each - 1),
    },
    figures: {
      ...{ plainReadBacks: plain.readBacks, watchedReadBacks: watched.readBacks },
      addedDispatches: added.dispatches - gone.dispatches,
      addedMilliseconds: added.milliseconds - gone.milliseconds,
    },
  };
}

function report(rows: readonly Row[]): string[] {
  return [
    table(
      rows,
      {
        ...{ watched: who.case, on: who.on },
        'plain ms': ({ series }) => milliseconds(series.plain.median),
        'more time (95 % interval)': ({ series: { more } }) =>
          `${formatPercent(more.median)} (${formatPercent(more.low)} to ${formatPercent(more.high)})`,
        'dispatches added': ({ figures }) => `${figures.addedDispatches}`,
        'their ms (share)': ({ series, figures: { addedMilliseconds } }) =>
          `${milliseconds(addedMilliseconds)} (${formatPercent(addedMilliseconds / series.plain.median)})`,
        'read-backs': ({ figures }) => `${figures.plainReadBacks} / ${figures.watchedReadBacks}`,
        ...load,
      },
      2,
    ),
    rows
      .filter((row) => row.case.startsWith('default'))
      .map(judge)
      .join('\n'),
    notes,
  ];
}

function judge({ case: name, device, series: { more } }: Row): string {
  const isMet = more.median <= mostOfStep;
  const isCertain = isMet ? more.high <= mostOfStep : more.low > mostOfStep;
  const judged = `${verdict(isMet, `at most ${formatPercent(mostOfStep)}`)}${isCertain ? '' : ', within the noise'}`;
  return `${name} on ${device}: ${formatPercent(more.median)} of the step (${judged})`;
}

const notes = `plain: the same training without a rule, in turns with the watched one. Nothing freezes.
default: the split-half signal at every fourth step, as on a schedule of 10,000 steps.
more time: the median over pairs of neighbouring stretches of ${stepsOfStretch} steps.
dispatches added: in a step with a check; their ms: each timed by itself.
read-backs: times that a stretch copies values to the host, plain / watched.`;
