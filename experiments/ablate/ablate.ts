/**
 * `npm run ablate`: the rule over its threshold τ and grace period α, for each signal, beside full training. What is tried
 * stands in `protocol.ts`.
 */

import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { formatPercent, formatSeconds } from '../../command/format.ts';
import { Interrupted, listenForInterrupt } from '../../command/interrupt.ts';
import { device, flag, listOf, oneOf, outputFile, readOptions, text, wholeNumber } from '../../command/options.ts';
import { Progress } from '../../command/progress.ts';
import { runCommand } from '../../command/run.ts';
import { newestUnfinishedRun, newRunPath, RunFolder, toJson } from '../../command/run-folder.ts';
import { gradesPolicy } from '../compare/arms.ts';
import { loadBase, pretrainingSteps } from '../compare/bases.ts';
import { circumstances, openForRuns } from '../compare/circumstances.ts';
import { learningRates } from '../compare/protocol.ts';
import { Run, type RunSource, trainingOperations } from '../compare/run.ts';
import { UnitStore } from '../compare/store.ts';
import { loadTask, taskNames } from '../compare/tasks.ts';
import { writeReport } from '../report/sections.ts';
import { defaults, graces, quick, type SignalName, signalNames, thresholds } from './protocol.ts';
import { ablationDocument } from './report.ts';
import type { Ablation, AblationRow } from './results.ts';

/** One run: the rule in one setting, or full training. */
interface Unit {
  seed: number;
  setting: { signal: SignalName; threshold: number; grace: number } | null;
}

type Trained = Pick<AblationRow, 'accuracy' | 'operations' | 'steps' | 'frozenShare'> & { seconds: number };

const resultsFile = 'ablation.json';

await runCommand(async () => {
  const options = readOptions({
    command: 'npm run ablate',
    about:
      'Tries the threshold τ and grace period α of GradES, for each signal: the shape of the paper’s tables 6 and 7. Every run is ' +
      'a training of its own, one after the other, so that its time can be taken; full training runs beside them.',
    argv: process.argv.slice(2),
    options: {
      task: oneOf(taskNames, { default: defaults.task, help: `of ${taskNames.join(', ')}` }),
      steps: wholeNumber({
        ...{ from: 20, to: 1_000_000, help: `length of the schedule   (default: ${defaults.steps})` },
      }),
      seeds: listOf(wholeNumber({ from: 0, to: 2 ** 32 - 1 }), { help: `(default: ${defaults.seeds.join(',')})` }),
      signals: listOf(oneOf(signalNames, {}), {
        placeholder: 'A,B',
        help: `of ${signalNames.join(', ')}   (default: all)`,
      }),
      quick: flag({
        help: `${quick.signals.join(' and ')}, one seed, ${quick.steps} steps: a smoke test, not evidence`,
      }),
      resume: flag({
        help: 'go on after Ctrl-C with the run in --out, or with the newest unfinished one below runs/; seeds and signals may be added',
      }),
      device: device(),
      out: text({ placeholder: 'DIR', help: 'folder of the run   (default: runs/ablate-<time>)' }),
      json: outputFile({ help: 'also write the results to this file' }),
    },
  });
  if (!options) return;
  const isQuick = options.quick;
  const steps = options.steps ?? (isQuick ? quick : defaults).steps;
  const seeds = options.seeds ?? (isQuick ? quick : defaults).seeds;
  const signals = options.signals ?? (isQuick ? quick.signals : signalNames);
  const opened = await openForRuns(options.device);
  const task = loadTask(options.task);

  const path = options.out ?? (options.resume ? newestUnfinishedRun('ablate', resultsFile) : newRunPath('ablate'));
  const config = { task: task.name, steps, quick: isQuick, device: opened.kind, adapter: opened.adapter, thresholds };
  const folder = options.resume ? RunFolder.join(path, config) : RunFolder.create(path, config);
  const store = new UnitStore<Unit, Trained>(folder, { keyOf, isResult: isTrained });
  console.log(`Run folder: ${path}. Ctrl-C keeps what is done; --resume goes on from there.`);
  console.log(`Device: ${opened.kind} (${opened.adapter})`);
  if (isQuick) console.log('This is a smoke run: it shows that everything works, and is no evidence of anything.');

  const base = await loadBase(task.base, opened, {
    folder: join(dirname(path), 'bases'),
    steps: isQuick ? Math.min(pretrainingSteps, 5 * steps) : pretrainingSteps,
    onProgress: (line) => console.log(`  ${line}`),
  });
  const shared = { device: opened, task, base, steps, learningRate: learningRates.full[1], adapters: false };
  const settings = signals.flatMap((signal) =>
    thresholds[signal].flatMap((threshold) =>
      (isQuick ? quick.graces : graces).map((grace) => ({ signal, threshold, grace })),
    ),
  );
  const units = seeds.flatMap((seed): Unit[] => [null, ...settings].map((setting) => ({ seed, setting })));
  const interrupt = listenForInterrupt();
  const progress = new Progress({ label: 'ablation', total: units.length });
  const results = new Map<string, Trained>();
  let isWarm = false;
  for (const [i, unit] of units.entries()) {
    if (interrupt.signal.aborted) break;
    const known = store.load(unit);
    // The first run of a process compiles; none of the times is to hold that.
    if (!known && !isWarm) await train({ ...shared, seed: seeds[0], steps: 20 }, null);
    isWarm ||= !known;
    const trained = known ?? (await train({ ...shared, seed: unit.seed }, unit.setting));
    if (!known) store.save(unit, trained);
    results.set(keyOf(unit), trained);
    progress.line(`${inWords(unit)}: ${formatPercent(trained.accuracy)} in ${formatSeconds(trained.seconds)}`);
    progress.update(i + 1, [{ text: `${i + 1}/${units.length}`, importance: 9 }]);
  }
  progress.end();
  interrupt.release();
  const rows = units.flatMap((unit): AblationRow[] => {
    const { seed, setting } = unit;
    const [trained, full] = [results.get(keyOf(unit)), results.get(keyOf({ seed, setting: null }))];
    if (!setting || !trained || !full) return [];
    const ofFull = { fullAccuracy: full.accuracy, fullOperations: full.operations, scheduleSteps: steps };
    return [{ ...setting, seed, ...trained, ...ofFull }];
  });
  const ablation: Ablation = { kind: isQuick ? 'smoke' : 'full', ...circumstances(opened), task: task.name, rows };
  if (interrupt.signal.aborted) throw new Interrupted('Go on with: npm run ablate -- --resume (and the same options)');
  writeReport(folder, ablationDocument(ablation));
  folder.writeJson(resultsFile, ablation);
  if (options.json !== null) writeFileSync(options.json, toJson(ablation));
});

/** From the first step, without the halves that the comparison's arms share: times are taken. */
async function train(source: RunSource, setting: Unit['setting']): Promise<Trained> {
  let frozenShare = () => 0;
  const run = await Run.start(source, {
    inHalves: false,
    policies(run) {
      if (!setting) return [];
      const policy = gradesPolicy(run, setting);
      frozenShare = () => policy.frozenCount / policy.watched.length;
      return [policy];
    },
  });
  const started = performance.now();
  await run.train();
  await run.end();
  await source.device.synchronize();
  const seconds = (performance.now() - started) / 1000;
  const { accuracy } = await run.evaluate('test');
  run.release();
  const { step: steps } = run.training;
  return { accuracy, operations: trainingOperations(run), seconds, steps, frozenShare: frozenShare() };
}

function isTrained(value: object): value is Trained {
  const fields = ['accuracy', 'operations', 'seconds', 'steps', 'frozenShare'];
  return fields.every((field) => typeof Reflect.get(value, field) === 'number');
}

function keyOf({ seed, setting }: Unit): string {
  const parts = setting ? [setting.signal, `threshold-${setting.threshold}`, `grace-${setting.grace}`] : ['full'];
  return [...parts, `seed-${seed}`].join('_');
}

function inWords({ seed, setting }: Unit): string {
  return `seed ${seed}, ${setting ? `${setting.signal}, τ ${setting.threshold}, α ${setting.grace}` : 'full training'}`;
}
