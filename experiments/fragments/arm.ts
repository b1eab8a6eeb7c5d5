/** One arm of `npm start`: trained, evaluated, recorded, and kept in a checkpoint as it goes. */

import { join } from 'node:path';
import { formatCount } from '../../command/format.ts';
import { Interrupted } from '../../command/interrupt.ts';
import { Progress } from '../../command/progress.ts';
import type { RunFolder } from '../../command/run-folder.ts';
import {
  Checkpoints,
  type Device,
  type GradES,
  isFrozen,
  NonFiniteGradientError,
  projectionKinds,
  Random,
  type TrainingOptions,
  Transformer,
  writeSafetensors,
} from '../../src/index.ts';
import { writeAside } from '../../src/tensor/platform/write-aside.ts';
import { gradesPolicy } from '../compare/arms.ts';
import { architecture } from '../compare/bases.ts';
import { training as protocol, recordEvery } from '../compare/protocol.ts';
import type { ArmResult } from '../compare/results.ts';
import { Run, trainingOperations } from '../compare/run.ts';
import { vocabulary, windowLength } from '../compare/tasks/task.ts';
import type { FragmentDataset } from '../data/fragments.ts';
import type { Evaluation } from '../evaluate.ts';
import type { Sample } from '../report/watched.ts';

export type ArmName = 'full' | 'grades';

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

/** What is recorded of an arm beside its training. Plain data, so that a checkpoint can hold it. */
interface Evaluations {
  /** Accuracy on a fixed part of the held-out fragments, on the way. */
  curve: Sample[];
  /** What a plain stop would have reached after as many operations as GradES. */
  plainStop: { step: number; accuracy: number; loss: number } | null;
  /** While training: the batches of an evaluation are larger. */
  peakBytes: number;
}

export interface RecordedArm extends ArmResult, Evaluations {
  readonly seconds: { train: number; evaluate: number };
  /** Until this step nothing may freeze. */
  readonly graceSteps: number;
}

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
 * @throws {NonFiniteGradientError} the weights of the step before are in a file.
 */
export async function trainArm(
  name: ArmName,
  options: ArmOptions,
  {
    folder,
    goOn,
    signal,
    evaluateAtFlops = Number.POSITIVE_INFINITY,
  }: {
    folder: RunFolder;
    /** How to go on, in words. */
    goOn: string;
    signal: AbortSignal;
    evaluateAtFlops?: number;
  },
): Promise<RecordedArm> {
  const { device, dataset, steps } = options;
  const evaluations: Evaluations = { curve: [], plainStop: null, peakBytes: 0 };
  let logBytes = 0;
  const { run, rule } = build(name, options, {
    evaluations: {
      state: () => JSON.stringify({ evaluations, logBytes: folder.logBytes }),
      restore(saved) {
        const found: { evaluations: Evaluations; logBytes: number } = JSON.parse(String(saved));
        Object.assign(evaluations, found.evaluations);
        logBytes = found.logBytes;
      },
    },
  });
  const { training } = run;
  const checkpoints = new Checkpoints(folder.path, { name: `checkpoint-${name}` });
  let saved = -1;
  const saveCheckpoint = async () => {
    await run.settle();
    await checkpoints.write(training.step, await training.save());
    saved = training.step;
  };
  const newest = await checkpoints.newest();
  if (newest !== null) {
    await training.restore(newest);
    if (!training.finished) folder.cutLog(logBytes);
  } else await saveCheckpoint();

  const progress = new Progress({ label: name, total: steps, doneBefore: training.step });
  training.registry.onEvent(({ name: parameter, step, value, threshold, reason }) => {
    const cause = value === null ? `as well (${reason})` : `(signal ${value.toFixed(3)} below ${threshold})`;
    progress.line(`  step ${step}: froze ${parameter} ${cause}`);
    folder.log({ event: value === null ? 'follow' : 'freeze', arm: name, parameter, step, value, threshold, reason });
  });

  const evaluated = async (count = dataset.test.count): Promise<Evaluation> => {
    await run.settle();
    evaluations.peakBytes = Math.max(evaluations.peakBytes, device.memory().peakBytes);
    const evaluation = await run.evaluate('test', count, evaluationBatch);
    device.resetPeak();
    return evaluation;
  };

  const matrices = training.registry.select(projectionKinds);
  const tokensPerStep = protocol.batch * windowLength;
  const checkpointEvery = Math.min(200, Math.ceil(steps / 10));
  // Of the last fifty steps or so.
  let meanMilliseconds = 0;
  let [made, seconds] = [0, run.seconds.train];
  device.resetPeak();
  try {
    await run.train({
      signal,
      async onStep() {
        const { step } = training;
        const frozen = matrices.filter(isFrozen).length;
        const milliseconds = 1000 * (run.seconds.train - seconds);
        made++;
        meanMilliseconds += (milliseconds - meanMilliseconds) / Math.min(made, 50);
        progress.update(step, [
          { text: `${step}/${steps}`, importance: 6 },
          { text: `loss ${run.loss?.toFixed(4) ?? '–'}`, importance: 5 },
          {
            text: `${formatCount((1000 * tokensPerStep) / meanMilliseconds).replace(' ', '')} tokens/s`,
            importance: 1,
          },
          { text: `${meanMilliseconds.toFixed(1)} ms/step`, importance: 2 },
          { text: `${frozen}/${matrices.length} frozen`, importance: 4 },
        ]);
        if (step % recordEvery.loss === 0) {
          folder.log({ event: 'step', arm: name, step, loss: run.loss, milliseconds, frozen, ...device.memory() });
        }
        const isPlainStop = !evaluations.plainStop && trainingOperations(run) >= evaluateAtFlops;
        if (isPlainStop) {
          const { accuracy, loss } = await evaluated();
          evaluations.plainStop = { accuracy, loss, step };
        }
        if (isPlainStop || training.finished || step % Math.ceil(steps / curvePoints) === 0) {
          evaluations.curve.push({ step, value: (await evaluated(curveFragments)).accuracy });
        }
        if (step % checkpointEvery === 0) await saveCheckpoint();
        seconds = run.seconds.train;
      },
    });
  } catch (error) {
    // Nothing was changed since the last good step.
    if (error instanceof NonFiniteGradientError) {
      progress.end();
      const path = join(folder.path, `last-good-${name}.safetensors`);
      const weights = writeSafetensors(await run.model.stateDict(), { step: String(error.step - 1) });
      await writeAside(path, (write) => write(weights));
      console.error(`\nThe weights as they were after step ${error.step - 1} are in ${path}.`);
    }
    throw error;
  } finally {
    progress.end();
  }
  if (saved !== training.step) await saveCheckpoint();
  if (!training.finished) throw new Interrupted(goOn);
  await run.end();
  const { accuracy, loss, seconds: evaluate } = await evaluated();
  const record = { ...run.record(name, 1), ...evaluations, accuracy, loss };
  run.release();
  return {
    ...record,
    seconds: { train: run.seconds.train, evaluate },
    graceSteps: (rule?.settings.grace ?? 1) * steps,
  };
}

/**
 * Trains and evaluates once before the first arm, which would else pay alone for what an engine does once: on the cpu its
 * steps take half as long again until their loops are compiled.
 */
export async function warmUp(options: ArmOptions, signal: AbortSignal): Promise<void> {
  const { run } = build('grades', { ...options, steps: Math.min(240, options.steps) });
  await run.train({ signal });
  await run.evaluate('test', evaluationBatch, evaluationBatch);
  run.release();
}

function build(name: ArmName, options: ArmOptions, state?: TrainingOptions['state']) {
  const { device, dataset, seed, threshold } = options;
  const head = { classes: dataset.classes.length };
  const config = { ...architecture, vocabulary: vocabulary.files, head };
  const model = new Transformer(config, { device, random: new Random(seed) });
  // Nothing asks for a validation set.
  const task = { ...dataset, name: 'fragments', validation: dataset.test };
  const rules: GradES[] = [];
  const run = new Run({ ...options, task }, model, {
    ...{ inHalves: false, state },
    policies(run) {
      if (name === 'grades') rules.push(gradesPolicy(run, { threshold }));
      return rules;
    },
  });
  return { run, rule: rules.at(0) };
}
