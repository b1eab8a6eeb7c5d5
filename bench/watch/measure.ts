import type { Device, GradESOptions } from '../../src/index.ts';
import { type MeasuredCase, send, type WatchMeasurement } from '../child-report.ts';
import { LoadMeter } from '../load-meter.ts';
import { missingDispatches, timeDispatches } from '../step/dispatch-times.ts';
import { Gpt } from '../step/gpt.ts';

interface WatchCase {
  name: string;
  rule: Pick<GradESOptions, 'quantity' | 'interval'>;
  /** Whether the training reads its loss after every step, with or without a rule. */
  readsLoss: boolean;
}

const cases: readonly WatchCase[] = [
  { name: 'default', rule: {}, readsLoss: false },
  { name: 'default, loss read every step', rule: {}, readsLoss: true },
  { name: 'split-half, every step', rule: { interval: 1 }, readsLoss: false },
  { name: 'split-half, every step, loss read', rule: { interval: 1 }, readsLoss: true },
  { name: 'gradient, every step', rule: { quantity: 'gradient', interval: 1 }, readsLoss: false },
  { name: 'gradient-change, every step', rule: { quantity: 'gradient-change', interval: 1 }, readsLoss: false },
  { name: 'weight-change, every step', rule: { quantity: 'weight-change', interval: 1 }, readsLoss: false },
];

/** Never beyond its grace period, so that nothing freezes. By default such a schedule has a check at every fourth step. */
const neverFreezing = { steps: 10_000, grace: 1, sampleFrom: 1 } as const;

const warmSteps = 6;
/** A multiple of the steps between two checks, so that every stretch holds as many. */
const stepsOfStretch = 4;
const pairs = { full: 100, quick: 2 };

/** Two trainings of the same model, one watched: a stretch of one, a stretch of the other, and so on. */
export async function measureWatching(device: Device, quick: boolean): Promise<MeasuredCase[]> {
  const measured: MeasuredCase[] = [];
  for (const each of cases) {
    await send({ progress: each.name });
    measured.push(await measureCase(device, each, quick ? pairs.quick : pairs.full));
  }
  return measured;
}

async function measureCase(device: Device, { name, rule, readsLoss }: WatchCase, count: number): Promise<MeasuredCase> {
  const [plain, watched] = [new Gpt(device), new Gpt(device)];
  watched.watch({ ...neverFreezing, ...rule });
  const oneStep = (gpt: Gpt): Promise<unknown> => (readsLoss ? gpt.step() : gpt.stepWithoutLoss());
  const stretch = async (gpt: Gpt) => {
    await device.synchronize();
    const start = performance.now();
    for (let i = 0; i < stepsOfStretch; i++) await oneStep(gpt);
    await device.synchronize();
    return (performance.now() - start) / stepsOfStretch;
  };
  for (const gpt of [plain, watched]) for (let i = 0; i < warmSteps; i++) await oneStep(gpt);
  const readBacks = {
    plain: await readBacksOf(device, () => stretch(plain)),
    watched: await readBacksOf(device, () => stretch(watched)),
  };
  const meter = new LoadMeter();
  const taken: WatchMeasurement['pairs'] = [];
  for (let i = 0; i < count; i++) {
    // Who goes first changes, so that a drift of the machine favours neither.
    if (i % 2 === 0) taken.push({ plain: await stretch(plain), watched: await stretch(watched) });
    else {
      const second = await stretch(watched);
      taken.push({ plain: await stretch(plain), watched: second });
    }
  }
  const othersShare = meter.othersShare();
  await watched.stepUntilCheck();
  const [before, after] = [
    await timeDispatches(device, () => plain.step()),
    await timeDispatches(device, () => watched.step()),
  ];
  const [added, gone] = [missingDispatches(after, before), missingDispatches(before, after)];
  for (const gpt of [plain, watched]) gpt.release();
  return {
    case: name,
    milliseconds: taken.map(({ watched }) => watched),
    othersShare,
    watch: {
      pairs: taken,
      addedDispatches: added.dispatches - gone.dispatches,
      addedMilliseconds: added.milliseconds - gone.milliseconds,
      readBacks,
    },
  };
}

async function readBacksOf(device: Device, body: () => Promise<unknown>): Promise<number> {
  let count = 0;
  const download = device.download;
  device.download = (...operands) => {
    count++;
    return download.apply(device, operands);
  };
  try {
    await body();
  } finally {
    device.download = download;
  }
  return count;
}
