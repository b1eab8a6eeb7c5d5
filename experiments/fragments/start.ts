/**
 * `npm start`: a small transformer learns to tell kinds of files apart by 32 bytes of them, twice from the same seed and
 * with the same batches: once in full, and once with GradES, which takes every projection matrix that has converged out
 * of the backward graph.
 */

import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FrostgradError } from '../../src/index.ts';
import { DatasetError } from '../data/files.ts';
import { loadFragments } from '../data/fragments.ts';
import { chooseDevice } from './choose-device.ts';
import { formatPercent } from './format.ts';
import { INTERRUPTED_EXIT_CODE, listenForInterrupt } from './interrupt.ts';
import { MATRICES, WINDOW_BYTES } from './model.ts';
import { helpText, OptionError, type Options, parseOptions } from './options.ts';
import { Progress } from './progress.ts';
import { drawSignals, reportPage } from './report.ts';
import { reportData, resultsJson, resultsTable } from './results.ts';
import { RunFolder, RunFolderError } from './run-folder.ts';
import { formatTable } from './table.ts';
import { type Arm, type ArmName, LOG_EVERY, TRAINING, trainArm } from './train.ts';

const TEST_FRAGMENTS = 2000;

async function main(options: Options): Promise<number> {
  const { steps, seed } = options;
  if (options.json !== undefined) checkWritable(options.json);
  const dataset = await loadFragments({
    directory: options.data ?? null,
    windowBytes: WINDOW_BYTES,
    testFragments: TEST_FRAGMENTS,
  });
  console.log(`${dataset.describe()}\n`);
  const { device, explanation } = await chooseDevice(options.device, dataset);
  console.log(`Device: ${explanation}`);

  const config = {
    steps,
    seed,
    windowBytes: WINDOW_BYTES,
    classes: dataset.classes,
    ...TRAINING,
    freezeLeftovers: true,
  };
  const path = options.out ?? join('runs', `fragments-${new Date().toISOString().replace(/[:.]/g, '-')}`);
  const folder = new RunFolder(path, { ...config, device: { kind: device.kind, adapter: device.adapter } });
  const interrupt = listenForInterrupt();
  console.log(`Run folder: ${path}. Ctrl-C ends the run after the current step and keeps what there is.`);
  console.log(
    "With GradES a block's norms freeze with its last matrix, and the embeddings with the first block, so that the lower " +
      'part of the graph really goes.\n',
  );

  const run = async (arm: ArmName, evaluateAtFlops?: number): Promise<Arm> => {
    const progress = new Progress({
      label: arm,
      total: steps,
      tokensPerStep: TRAINING.batch * WINDOW_BYTES,
      watched: MATRICES,
      stream: process.stdout,
    });
    try {
      return await trainArm({
        arm,
        device,
        dataset,
        seed,
        steps,
        evaluateAtFlops,
        signal: interrupt.signal,
        onStep(report) {
          progress.update(report);
          if (report.step % LOG_EVERY === 0) folder.log({ event: 'step', arm, ...report, ...device.memory() });
        },
        onEvent({ name, step, value, threshold, reason }) {
          if (value === null || threshold === null) {
            progress.line(`  step ${step}: froze ${name} as well (${reason})`);
            folder.log({ event: 'follow', arm, parameter: name, step, reason });
          } else {
            progress.line(`  step ${step}: froze ${name} (signal ${value.toFixed(3)} below ${threshold})`);
            folder.freeze(arm, { parameter: name, step, value, threshold });
          }
        },
      });
    } finally {
      progress.end();
    }
  };

  // GradES first: its operations tell where on the full run's own curve a plain stop would have cost as much.
  const grades = await run('grades');
  const full = interrupt.signal.aborted ? null : await run('full', grades.flops);
  interrupt.release();
  const arms = full ? [full, grades] : [grades];
  const results = resultsJson(device, config, arms);
  folder.summary(results);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
  if (!full || full.interrupted) {
    console.log(`\nInterrupted. What was measured until then is in ${path}.`);
    folder.close();
    return INTERRUPTED_EXIT_CODE;
  }

  const summary = describe(full, grades);
  const report = reportData(full, grades, { steps, summary });
  const picture = folder.write('signals.svg', drawSignals(report));
  const page = folder.write('report.html', reportPage(report));
  folder.close();
  console.log(`\n${formatTable(resultsTable(full, grades))}\n\n${summary}\n`);
  console.log(`Picture: ${picture}\nPage:    ${page}`);
  return 0;
}

/** A file that cannot be written is told before the training, not after it. */
function checkWritable(path: string): void {
  try {
    closeSync(openSync(path, 'a'));
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? cause.code : cause;
    throw new OptionError(`--json ${path} cannot be written (${reason}); a file in a folder that exists is needed`);
  }
}

/** The result in words, with the comparison that tells whether freezing did more than stopping early. */
function describe(full: Arm, grades: Arm): string {
  const end =
    grades.frozenCount === MATRICES
      ? `GradES froze all ${MATRICES} matrices and ended at step ${grades.steps}`
      : `GradES froze ${grades.frozenCount} of ${MATRICES} matrices by the end of the schedule`;
  const { plainStop } = full;
  if (!plainStop) return `${end}.`;
  return (
    `${end}, with an accuracy of ${formatPercent(grades.accuracy)}. Simply stopping the full run at the same number of ` +
    `operations, at step ${plainStop.step}, would have reached ${formatPercent(plainStop.accuracy)} ` +
    `(loss ${plainStop.loss.toFixed(4)}). One seed; the spread between seeds is larger than small differences.`
  );
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) console.log(helpText);
  else process.exitCode = await main(options);
} catch (error) {
  const expected = [OptionError, DatasetError, RunFolderError, FrostgradError].some((kind) => error instanceof kind);
  if (!expected) throw error;
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : error);
  process.exitCode = 1;
}
