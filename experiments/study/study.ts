/**
 * `npm run study`: whether freezing from below, whose lower blocks are not run again, beats stopping earlier, training the upper
 * blocks alone, and other rules, on a pretrained model. The arms are in `arms.ts`, how they share their work in `cell.ts`.
 */

import { basename } from 'node:path';
import { formatSeconds } from '../../command/format.ts';
import { Interrupted, listenForInterrupt } from '../../command/interrupt.ts';
import {
  device,
  flag,
  listOf,
  number,
  OptionError,
  oneOf,
  outputFile,
  readOptions,
  text,
  wholeNumber,
} from '../../command/options.ts';
import { Progress } from '../../command/progress.ts';
import { runCommand } from '../../command/run.ts';
import { RunFolder, RunFolderError } from '../../command/run-folder.ts';
import { loadPretrained, loadTokenizer } from '../../src/index.ts';
import { circumstances, openFolder, openForRuns, resultsFiles } from '../compare/circumstances.ts';
import { shard } from '../compare/options.ts';
import { shardOf } from '../compare/plan.ts';
import { calibration } from '../compare/protocol.ts';
import { type UnitKind, UnitStore } from '../compare/store.ts';
import { fingerprintOfData, fingerprintOfModel } from '../language-model/fingerprint.ts';
import { readSplits, type Splits } from '../language-model/samples.ts';
import { templateNames } from '../language-model/templates.ts';
import { writeReport } from '../report/sections.ts';
import { armNames, arms, type Given, type StudyArm } from './arms.ts';
import { Cell, type StudySettings } from './cell.ts';
import { studyDocument } from './report.ts';
import { type Calibration, type MethodName, methods, type Study, type StudyResult, type StudyUnit } from './results.ts';
import { smallModel, smallTask } from './small.ts';

const command = 'npm run study';
const calibrationArm = 'calibration';

const declared = {
  command,
  about:
    'Freezing whose lower blocks are not run again, beside a plain stop at equal operations and at equal time, training of the upper ' +
    "blocks alone, early stopping, a short schedule, and the paper's rules: one model, the same first weights and batches.",
  options: {
    model: text({ placeholder: 'DIR', help: 'a Hugging Face folder: config.json, weights, tokenizer.json' }),
    tasks: listOf(text({ placeholder: 'DIR' }), {
      help: 'folders with train.jsonl, valid.jsonl and test.jsonl of multiple choice, as finetune reads them; a task each',
    }),
    template: oneOf(templateNames, { help: 'the lines have the fields of this published task' }),
    methods: listOf(oneOf(methods, {}), { default: methods, help: 'what trains: adapters, all weights' }),
    arms: listOf(oneOf(armNames, {}), { placeholder: 'A,B', help: 'of those below   (default: all)' }),
    seeds: listOf(wholeNumber({ from: 0, to: 2 ** 32 - 1 }), {
      help: 'whole seeds are done one after the other   (default: 1,2,3; of --quick 1)',
    }),
    steps: wholeNumber({ from: 20, to: 1e6, help: 'length of the schedule', defaultText: '160, of --quick 60' }),
    batch: wholeNumber({ from: 2, to: 1e5, default: 8, help: 'samples of a step' }),
    rank: wholeNumber({ from: 1, to: 1024, default: 8, help: 'of the adapters' }),
    'rate-lora': number({ from: 1e-12, to: 10, default: 5e-4, help: 'highest learning rate of adapters' }),
    'rate-full': number({ from: 1e-12, to: 10, default: 2e-5, help: 'highest learning rate of all weights' }),
    'validation-items': wholeNumber({ from: 1, to: 1e9, default: 64, help: 'of valid.jsonl, for early stopping' }),
    'test-items': wholeNumber({ from: 1, to: 1e9, help: 'so many of test.jsonl', defaultText: 'all' }),
    'prefix-cache': wholeNumber({
      from: 1,
      to: 1e7,
      default: 1024,
      placeholder: 'MIB',
      help: 'room for what leaves frozen blocks',
    }),
    quick: flag({ help: 'a small model and task of our own, one seed: a smoke test, not evidence' }),
    shard: {
      ...shard,
      help: 'only the i-th of n parts of tasks × methods × seeds; start them with one --out, or --merge their folders',
    },
    merge: listOf(text({ placeholder: 'DIR' }), { help: 'put what these folders hold together; nothing is trained' }),
    partial: flag({ help: 'with --merge, leave out what is not done' }),
    resume: flag({
      help: 'go on after Ctrl-C or a kill with the run in --out, or with the newest unfinished one below runs/; the arm that was under way is made again',
    }),
    device: device(),
    out: text({ placeholder: 'DIR', help: 'folder of the run   (default: runs/study-<time>)' }),
    json: outputFile({ help: 'also write the results to this file' }),
  },
  notes: `Arms: ${armNames.join(', ')}. Those that an arm follows are done too.\n\nOn cpu a run has one thread: start parts side by side.`,
} as const;

type Done = StudyResult | Calibration;

const units: UnitKind<StudyUnit, Done> = {
  key: ({ task, method, seed, arm }) => `${task}_${method}_seed-${seed}_${arm}`.replaceAll(/[^\w.-]+/g, '-'),
  isResult(value): value is Done {
    const { arm, accuracy, cost, thresholds } = Object(value);
    return (
      typeof thresholds === 'object' ||
      (typeof arm === 'string' && typeof accuracy === 'number' && typeof cost === 'object')
    );
  },
};

await runCommand(async () => {
  const options = readOptions({ ...declared, argv: process.argv.slice(2) });
  if (!options) return;
  const { quick, merge, resume, json, template } = options;
  const { model: folder, tasks: taskFolders } = options;
  if (!quick && (folder === null || taskFolders === null)) {
    throw new OptionError('--model and --tasks must be given, or --quick', command);
  }
  if (merge && options.shard) throw new OptionError('--merge and --shard contradict each other', command);
  if (options.partial && !merge) throw new OptionError('--partial needs --merge', command);
  const seeds = options.seeds ?? (quick ? [1] : [1, 2, 3]);
  const settings: StudySettings = {
    ...{ steps: options.steps ?? (quick ? 60 : 160), batch: options.batch, rank: options.rank },
    learningRate: quick ? { lora: 2e-2, full: 5e-3 } : { lora: options['rate-lora'], full: options['rate-full'] },
    ...{ validationItems: options['validation-items'], testItems: options['test-items'] },
    prefixBytes: options['prefix-cache'] * 2 ** 20,
  };
  const opened = await openForRuns(options.device);
  const tasks = quick
    ? [{ ...smallTask(), fingerprint: null }]
    : await readTasks(taskFolders ?? [], folder ?? '', template);
  const { kind, adapter } = opened;
  // Seeds and arms stay out: they only add to what is done, so a run can be given more of them.
  const config = {
    model: quick || folder === null ? null : { name: basename(folder), fingerprint: await fingerprintOfModel(folder) },
    tasks: tasks.map(({ name, fingerprint }) => ({ name, fingerprint })),
    settings,
    quick,
    device: { kind, adapter },
  };
  const run = openFolder('study', options, opened, config, resume || options.shard !== null || merge !== null);
  const store = new UnitStore(run, units);
  for (const each of merge ?? []) {
    const part = RunFolder.join(each, config);
    if (part.path !== run.path) store.copyFrom(part);
  }
  const wanted = withFollowed(options.arms ?? armNames);
  const cells = seeds.flatMap((seed) =>
    tasks.flatMap((task) => options.methods.map((method) => ({ task, method, seed }))),
  );
  const interrupt = listenForInterrupt();
  const own = shardOf(cells, options.shard);
  const goOn = `Go on with: ${command} -- --resume --out ${run.path} (and the same options)`;
  try {
    for (const cell of merge ? [] : own) {
      const performing: Performing = {
        ...{ settings, store, signal: interrupt.signal, isFirst: cell.seed === seeds[0] },
        open: () =>
          quick
            ? smallModel(opened)
            : loadPretrained(folder ?? '', { device: opened, dtype: cell.method === 'full' ? 'f32' : 'stored' }),
      };
      await run.sayingHow(goOn, () => perform(cell, wanted, performing));
    }
  } catch (error) {
    throw error instanceof Interrupted ? new Interrupted(goOn) : error;
  } finally {
    interrupt.release();
  }
  const parts = merge || !options.shard ? cells : own;
  const missing: string[] = [];
  const found = parts.flatMap(({ task: { name: task }, method, seed }) =>
    wanted
      .filter(({ once }) => !once || seed === seeds[0])
      .flatMap(({ name: arm }) => {
        const unit: StudyUnit = { arm, task, method, seed };
        const done = store.load(unit);
        if (!done) missing.push(units.key(unit));
        return done ?? [];
      }),
  );
  if (missing.length > 0 && !options.partial) {
    throw new RunFolderError(
      `the folders to merge lack ${missing.length} arms, such as ${missing[0]} (--partial leaves them out)`,
    );
  }
  if (options.shard) {
    console.log(`Part ${options.shard.index} of ${options.shard.count} is done. When all are: ${command} -- --merge …`);
    return;
  }
  const study: Study = {
    ...circumstances(opened, quick, folder === null ? 'a small decoder of four blocks' : basename(folder)),
    tasks: tasks.map(({ name, splits: { train, test } }) => {
      return {
        name,
        train: train.samples.length,
        test: Math.min(test.questions.length, settings.testItems ?? test.questions.length),
      };
    }),
    ...{ methods: options.methods, seeds, steps: settings.steps },
    omissions: missing.length === 0 ? [] : [`${missing.length} arms were not run.`],
    results: found.filter(isArm),
    calibrations: tasks.flatMap(({ name }) =>
      options.methods.flatMap((method) => {
        const unit = calibrationUnit(name, method);
        return (store.load(unit) ?? []).flatMap((each) => (isArm(each) ? [] : [{ ...unit, ...each }]));
      }),
    ),
  };
  await run.sayingHow(merge ? 'Give the same command again' : goOn, () =>
    writeReport(run, studyDocument(study), { file: resultsFiles.study, results: study, json }),
  );
});

interface Performing {
  settings: StudySettings;
  store: UnitStore<StudyUnit, Done>;
  signal: AbortSignal;
  /** Whether arms that are run once are run here. */
  isFirst: boolean;
  open(): ReturnType<typeof smallModel> | Promise<ReturnType<typeof smallModel>>;
}

interface Place {
  task: { name: string; splits: Splits };
  method: MethodName;
  seed: number;
}

/** All arms of a cell that are not done yet. */
async function perform({ task, method, seed }: Place, wanted: readonly StudyArm[], options: Performing): Promise<void> {
  const { settings, store, signal, isFirst, open } = options;
  const arms = wanted.filter(({ once }) => !once || isFirst);
  const unitOf = (arm: string): StudyUnit => ({ arm, task: task.name, method, seed });
  const resultOf = (arm: string | undefined) =>
    (arm === undefined ? [] : (store.load(unitOf(arm)) ?? [])).find(isArm) ?? null;
  const remaining = arms.filter(({ name }) => resultOf(name) === null);
  if (remaining.length === 0) return;
  const started = performance.now();
  const label = `${task.name}, ${method}, seed ${seed}`;
  const progress = new Progress({ label, total: arms.length, doneBefore: arms.length - remaining.length });
  const cellOf = async (ofSeed: number) =>
    new Cell({
      ...{ task, method, seed: ofSeed, settings, pretrained: await open(), signal },
      onStep: (arm, step) => {
        const { length } = arms.filter(({ name }) => resultsDone.has(name));
        progress.update(length + step / (settings.steps + 1), [
          { text: arm, importance: 5 },
          { text: `step ${step}`, importance: 4 },
          { text: `${length}/${arms.length} arms`, importance: 9 },
        ]);
      },
    });
  const resultsDone = new Set(arms.filter((arm) => !remaining.includes(arm)).map(({ name }) => name));
  const keep = (result: StudyResult) => {
    if (resultsDone.has(result.arm)) return;
    store.save(unitOf(result.arm), [result]);
    resultsDone.add(result.arm);
    progress.line(
      `  ${result.arm}: ${(100 * result.accuracy).toFixed(1)} % in ${result.steps} steps, ${formatSeconds(result.cost.seconds)}, ` +
        `${result.freezes.length}/${result.matrices} frozen`,
    );
  };
  try {
    const thresholds = remaining.some(({ name }) => /paper|released/.test(name))
      ? await thresholdsOf(task.name, method, store, cellOf)
      : {};
    const cell = await cellOf(seed);
    const given = (arm: StudyArm): Given => {
      const trunk = resultOf('to-the-end');
      const operationsOfStep = trunk ? trunk.cost.operations / trunk.steps : Number.NaN;
      return { thresholds, followed: resultOf(arm.follows), operationsOfStep };
    };
    let hasRunTrunk = false;
    for (const arm of remaining) {
      if (resultsDone.has(arm.name)) continue;
      if (arm.role === 'trunk' && !hasRunTrunk) {
        const points = remaining
          .filter(({ role }) => role === 'trunk')
          .map((each) => [each, resultOf(each.follows)] as const);
        await cell.trunk(points, keep);
        hasRunTrunk = true;
      } else keep(await cell.train(arm, given(arm)));
    }
    cell.release();
  } finally {
    progress.end();
  }
  console.log(`${label}: done in ${formatSeconds((performance.now() - started) / 1000)}`);
}

/** τ of the paper's rules, from a run with a seed that no arm has. */
async function thresholdsOf(
  task: string,
  method: MethodName,
  store: UnitStore<StudyUnit, Done>,
  cellOf: (seed: number) => Promise<Cell>,
): Promise<Calibration['thresholds']> {
  const unit = calibrationUnit(task, method);
  const known = store.load(unit)?.find((each) => !isArm(each));
  if (known && !isArm(known)) return known.thresholds;
  const cell = await cellOf(calibration.seed);
  const found = await cell.calibrate();
  cell.release();
  store.save(unit, [found]);
  return found.thresholds;
}

function calibrationUnit(task: string, method: MethodName): StudyUnit {
  return { arm: calibrationArm, task, method, seed: calibration.seed };
}

function isArm(done: Done): done is StudyResult {
  return 'accuracy' in done;
}

/** The arms asked for, and those that they follow. */
function withFollowed(names: readonly string[]): StudyArm[] {
  const wanted = new Set(names);
  for (const { name, follows } of arms.toReversed()) if (wanted.has(name) && follows) wanted.add(follows);
  // Everything is told beside it.
  wanted.add('to-the-end');
  return arms.filter(({ name }) => wanted.has(name));
}

async function readTasks(folders: readonly string[], model: string, template: (typeof templateNames)[number] | null) {
  const tokenizer = await loadTokenizer(model);
  const read = folders.map(async (folder) => {
    const splits = readSplits(folder, { tokenizer, contextLength: 512, template });
    if (splits.kind !== 'choice') {
      throw new OptionError(
        `--tasks ${folder} has lines of the form ${splits.kind} (allowed: multiple choice)`,
        command,
      );
    }
    return { name: basename(folder), fingerprint: await fingerprintOfData(folder), splits };
  });
  return Promise.all(read);
}
