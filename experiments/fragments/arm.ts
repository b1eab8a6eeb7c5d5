/** One arm of `npm start`: trained, evaluated, recorded, and kept in a checkpoint as it goes. */

import { formatCount } from '../../command/format.ts';
import { Interrupted } from '../../command/interrupt.ts';
import { Progress } from '../../command/progress.ts';
import type { RunFolder } from '../../command/run-folder.ts';
import {
  Checkpoints,
  type Device,
  type GradES,
  isFrozen,
  projectionKinds,
  Random,
  type TrainingOptions,
  Transformer,
} from '../../src/index.ts';
import { gradesPolicy } from '../compare/arms.ts';
import { architecture } from '../compare/bases.ts';
import { training as protocol } from '../compare/protocol.ts';
import { Run, trainingOperations } from '../compare/run.ts';
import { vocabulary, windowLength } from '../compare/tasks/task.ts';
import type { FragmentDataset } from '../data/fragments.ts';
import type { Evaluation } from '../evaluate.ts';
import { type ArmName, type ArmRecord, freezesOf } from './results.ts';

/** What both arms have in common: they start from the same weights and see the same batches. */
export interface ArmOptions {
  readonly device: Device;
  readonly dataset: FragmentDataset;
  readonly seed: number;
  /** Length of the schedule. */
  readonly steps: number;
  readonly learningRate: number;
  /** Of GradES. */
  readonly threshold: number;
}

/** Steps between two looks at the loss; each is a read-back. */
const logEvery = 20;
const evaluationBatch = 167;
/** Points of the accuracy curve, and the held-out fragments that each is measured on. */
const curvePoints = 10;
const curveFragments = 3 * evaluationBatch;

/**
 * Trains to the end of the schedule, or until nothing is left to train, and evaluates. Goes on from the arm's checkpoint
 * where the folder holds one; one of an arm that is over is only evaluated again.
 *
 * @param run.evaluateAtFlops after so many operations the model is evaluated: what a plain stop there would have reached.
 * @throws {Interrupted} `signal` was aborted; there is a checkpoint of the last step.
 */
export async function trainArm(
  name: ArmName,
  options: ArmOptions,
  run: { folder: RunFolder; signal: AbortSignal; evaluateAtFlops?: number },
): Promise<ArmRecord> {
  const { device, dataset, steps } = options;
  const { folder, signal, evaluateAtFlops = Number.POSITIVE_INFINITY } = run;
  let logBytes = 0;
  const { arm, policy } = build(name, options, {
    record: {
      state: () => JSON.stringify({ record, logBytes: folder.logBytes }),
      restore(saved) {
        const found: { record: ArmRecord; logBytes: number } = JSON.parse(String(saved));
        Object.assign(record, found.record);
        logBytes = found.logBytes;
      },
    },
  });
  const { training } = arm;
  const record: ArmRecord = {
    ...{ name, steps: 0, seconds: { train: 0, evaluate: 0 }, flops: 0, peakBytes: 0, accuracy: 0, loss: 0 },
    ...{ losses: [], curve: [], events: [], plainStop: null },
    watched: (policy?.watched ?? []).map(({ name, kind, block }) => ({ name, kind, block, samples: [] })),
    threshold: policy?.threshold ?? null,
    graceSteps: (policy?.settings.grace ?? 1) * steps,
  };
  const checkpoints = new Checkpoints(folder.path, { name: `checkpoint-${name}` });
  const timed = async (work: () => Promise<void>): Promise<number> => {
    const started = performance.now();
    await work();
    const milliseconds = performance.now() - started;
    record.seconds.train += milliseconds / 1000;
    return milliseconds;
  };
  // What is still under way on the device belongs to the training time, what follows does not.
  const pause = () => timed(() => device.synchronize());
  const saveCheckpoint = async () => {
    await pause();
    await checkpoints.write(training.step, await training.save());
  };
  const newest = await checkpoints.newest();
  if (newest !== null) {
    await training.restore(newest);
    if (!training.finished) folder.cutLog(logBytes);
  } else await saveCheckpoint();

  const progress = new Progress({ label: name, total: steps, doneBefore: training.step });
  const matrices = training.registry.select(projectionKinds);
  record.events = training.registry.events;
  const writeFreezes = () =>
    folder.writeJson(
      'freezes.json',
      freezesOf(record).map((freeze) => ({ arm: name, ...freeze })),
    );
  if (policy) writeFreezes();
  training.registry.onEvent(({ name: parameter, step, value, threshold, reason }) => {
    if (value === null || threshold === null) {
      progress.line(`  step ${step}: froze ${parameter} as well (${reason})`);
      folder.log({ event: 'follow', arm: name, parameter, step, reason });
    } else {
      progress.line(`  step ${step}: froze ${parameter} (signal ${value.toFixed(3)} below ${threshold})`);
      folder.log({ event: 'freeze', arm: name, parameter, step, value, threshold });
      writeFreezes();
    }
  });
  policy?.onCheck(({ step, values }) => {
    for (const { name: matrix, samples } of record.watched) {
      const value = values.get(matrix);
      if (value !== undefined) samples.push({ step, value });
    }
  });

  // The peak of memory that counts is that of training; the batches of an evaluation are larger.
  const evaluated = async (count = dataset.test.count): Promise<Evaluation> => {
    await pause();
    record.peakBytes = Math.max(record.peakBytes, device.memory().peakBytes);
    const evaluation = await arm.evaluate('test', count, evaluationBatch);
    device.resetPeak();
    return evaluation;
  };

  const checkpointEvery = Math.min(200, Math.ceil(steps / 10));
  const tokensPerStep = protocol.batch * windowLength;
  let made = 0;
  // Of the last fifty steps or so.
  let meanMilliseconds = 0;
  device.resetPeak();
  try {
    while (!training.finished && !signal.aborted) {
      const milliseconds = await timed(async () => {
        await training.advance();
        const { step } = training;
        if (step === 1 || step % logEvery === 0) record.losses.push({ step, value: await training.loss() });
      });
      const { step } = training;
      record.steps = step;
      record.flops = trainingOperations(arm);
      const loss = record.losses.at(-1)?.value;
      const frozen = matrices.filter(isFrozen).length;
      made++;
      meanMilliseconds += (milliseconds - meanMilliseconds) / Math.min(made, 50);
      progress.update(step, [
        { text: `${step}/${steps}`, importance: 6 },
        { text: `loss ${loss?.toFixed(4) ?? '–'}`, importance: 5 },
        { text: `${formatCount((1000 * tokensPerStep) / meanMilliseconds).replace(' ', '')} tokens/s`, importance: 1 },
        { text: `${meanMilliseconds.toFixed(1)} ms/step`, importance: 2 },
        { text: `${frozen}/${matrices.length} frozen`, importance: 4 },
      ]);
      if (step % logEvery === 0) {
        folder.log({ event: 'step', arm: name, step, loss, milliseconds, frozen, ...device.memory() });
      }
      const isPlainStop = !record.plainStop && record.flops >= evaluateAtFlops;
      if (isPlainStop) {
        const { accuracy, loss, seconds } = await evaluated();
        record.plainStop = { accuracy, loss, seconds, step };
      }
      if (isPlainStop || training.finished || step % Math.ceil(steps / curvePoints) === 0) {
        record.curve.push({ step, value: (await evaluated(curveFragments)).accuracy });
      }
      if (step % checkpointEvery === 0) await saveCheckpoint();
    }
  } finally {
    progress.end();
  }
  await saveCheckpoint();
  if (!training.finished) throw new Interrupted(`Go on with: npm start -- --resume ${folder.path}`);
  await timed(() => training.end());
  const { accuracy, loss, seconds } = await evaluated();
  Object.assign(record, { accuracy, loss });
  record.seconds.evaluate = seconds;
  arm.release();
  return record;
}

/**
 * Trains and evaluates once before the first arm, which would else pay alone for what an engine does once: on the cpu its
 * steps take half as long again until their loops are compiled.
 */
export async function warmUp(options: ArmOptions, signal: AbortSignal): Promise<void> {
  const { arm } = build('grades', { ...options, steps: Math.min(240, options.steps) });
  await arm.training.run({
    signal,
    async onStep() {
      await arm.training.loss();
    },
  });
  await arm.evaluate('test', evaluationBatch, evaluationBatch);
  arm.release();
}

function build(name: ArmName, options: ArmOptions, state?: TrainingOptions['state']) {
  const { device, dataset, seed, threshold } = options;
  const head = { classes: dataset.classes.length };
  const config = { ...architecture, vocabulary: vocabulary.files, head };
  const model = new Transformer(config, { device, random: new Random(seed) });
  // Nothing asks for a validation set.
  const task = { ...dataset, name: 'fragments', validation: dataset.test };
  const policies: GradES[] = [];
  const arm = new Run({ ...options, task }, model, {
    ...{ inHalves: false, state },
    policies(run) {
      if (name === 'grades') policies.push(gradesPolicy(run, { threshold }));
      return policies;
    },
  });
  return { arm, policy: policies.at(0) };
}
