/** `npm run ablate`: the rule over its threshold τ and grace period α, for each signal, beside full training. */

import { flag, listOf, oneOf, readOptions, wholeNumber } from '../../command/options.ts';
import { runCommand } from '../../command/run.ts';
import { circumstances, openFolder, openForRuns, resultsFiles } from '../compare/circumstances.ts';
import { runOptions } from '../compare/options.ts';
import { learningRates } from '../compare/protocol.ts';
import type { Ablation } from '../compare/results.ts';
import { armUnits, UnitStore } from '../compare/store.ts';
import { taskNames } from '../compare/tasks.ts';
import { unitOf } from '../compare/units.ts';
import { Work } from '../compare/work.ts';
import { writeReport } from '../report/sections.ts';
import { ablationDocument } from './report.ts';

/** By signal, as shares of its own peak: the paper's thresholds go with the size of the model and cannot be carried over. */
const thresholds = {
  'split-half': [0.3, 0.45, 0.6],
  gradient: [0.5, 0.7, 0.9],
  'gradient-change': [0.5, 0.7, 0.9],
  'weight-change': [0.3, 0.5, 0.7],
} as const;

type SignalName = keyof typeof thresholds;

const signalNames: readonly SignalName[] = ['split-half', 'gradient', 'gradient-change', 'weight-change'];

interface Plan {
  steps: number;
  seeds: readonly number[];
  signals: readonly SignalName[];
  /** α of the paper: shares of the schedule before which nothing freezes. */
  graces: readonly number[];
}

const whole: Plan = { steps: 600, seeds: [1, 2], signals: signalNames, graces: [0.15, 0.3, 0.5] };
const quick: Plan = { steps: 60, seeds: [1], signals: ['split-half', 'gradient'], graces: [0.3] };

await runCommand(async () => {
  const options = readOptions({
    command: 'npm run ablate',
    about:
      'Tries the threshold τ and grace period α of GradES, for each signal: the shape of the paper’s tables 6 and 7. Every run is ' +
      'a training of its own, one after the other, so that its time can be taken; full training runs beside them.',
    argv: process.argv.slice(2),
    options: {
      task: oneOf(taskNames, { default: 'file-kind' as const, help: `of ${taskNames.join(', ')}` }),
      steps: wholeNumber({
        ...{ from: 20, to: 1_000_000, help: `length of the schedule   (default: ${whole.steps})` },
      }),
      seeds: listOf(wholeNumber({ from: 0, to: 2 ** 32 - 1 }), { help: `(default: ${whole.seeds.join(',')})` }),
      signals: listOf(oneOf(signalNames, {}), {
        placeholder: 'A,B',
        help: `of ${signalNames.join(', ')}   (default: all)`,
      }),
      quick: flag({
        help: `${quick.signals.join(' and ')}, one seed, ${quick.steps} steps: a smoke test, not evidence`,
      }),
      ...runOptions,
    },
  });
  if (!options) return;
  const { task, quick: isQuick } = options;
  const plan = isQuick ? quick : whole;
  const steps = options.steps ?? plan.steps;
  const seeds = options.seeds ?? plan.seeds;
  const signals = options.signals ?? plan.signals;
  const opened = await openForRuns(options.device);
  const { kind: device, adapter } = opened;
  const folder = openFolder('ablate', options, opened, { task, steps, quick: isQuick, thresholds, device, adapter });
  const grid = signals.flatMap((signal) =>
    thresholds[signal].flatMap((threshold) => plan.graces.map((grace) => ({ signal, threshold, grace }))),
  );
  const settings = Object.fromEntries(
    grid.map((each) => [`${each.signal} threshold-${each.threshold} grace-${each.grace}`, each]),
  );
  const learningRate = learningRates.full[1];
  const units = seeds.flatMap((seed) =>
    ['full', ...Object.keys(settings)].map((arm) =>
      unitOf({
        ...{ phase: 'ablation', task, seed, steps, learningRate, arms: [arm] },
        settings: arm === 'full' ? {} : { [arm]: settings[arm] },
      }),
    ),
  );
  const smokeSteps = isQuick ? steps : null;
  const work = new Work({ command: 'ablate', device: opened, store: new UnitStore(folder, armUnits), smokeSteps });
  await work.toItsEnd(async () => {
    await work.pretrain([task]);
    const arms = await work.perform('ablation, one run at a time', units, 1);
    const ablation: Ablation = { ...circumstances(opened, isQuick), task, seeds, settings, arms, timings: arms };
    const { json } = options;
    writeReport(folder, ablationDocument(ablation), { file: resultsFiles.ablate, results: ablation, json });
  });
});
