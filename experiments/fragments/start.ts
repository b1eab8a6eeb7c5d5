/**
 * `npm start`: a small transformer learns to tell kinds of files apart by 32 bytes of them, twice from the same seed and
 * with the same batches: once in full, and once with GradES, which takes every projection matrix that has converged out
 * of the backward graph.
 */

import { listenForInterrupt } from '../../command/interrupt.ts';
import { device as deviceOption, outputFile, readOptions, text, wholeNumber } from '../../command/options.ts';
import { readLineOfRun } from '../../command/resume.ts';
import { runCommand } from '../../command/run.ts';
import { newRunPath, RunFolder } from '../../command/run-folder.ts';
import { type Device, openDevice } from '../../src/index.ts';
import { training } from '../compare/protocol.ts';
import { trainingOperations } from '../compare/run.ts';
import { windowLength } from '../compare/tasks/task.ts';
import { loadFragments } from '../data/fragments.ts';
import { writeReport } from '../report/sections.ts';
import { trainArm, warmUp } from './arm.ts';
import { type StartResults, startDocument } from './report.ts';

const testFragments = 2000;
const learningRate = 3e-3;

/** Above the library's default of 0.3; the notes of the help say why. */
const threshold = 0.45;

const command = {
  command: 'npm start',
  about:
    'Trains a small transformer to tell kinds of files apart by short fragments of their bytes, twice from the same seed: ' +
    'once in full, and once with GradES, which freezes each weight matrix when its gradient has died down.',
  options: {
    data: text({
      placeholder: 'DIR',
      help: 'folder with one sub-folder a class, any files',
      defaultText: 'the files in node_modules, by their kind',
    }),
    steps: wholeNumber({ from: 1, to: 1e7, help: 'length of the schedule in steps', default: 1200 }),
    seed: wholeNumber({ from: 0, to: 2 ** 32 - 1, help: 'seed of the weights and of the batches', default: 1 }),
    device: deviceOption(),
    out: text({
      placeholder: 'DIR',
      help: 'folder for log, results and pictures',
      defaultText: 'runs/fragments-<time>',
    }),
    json: outputFile({ help: 'also write the results to this file' }),
    resume: text({ placeholder: 'DIR', help: 'go on with the run in this folder, after Ctrl-C or a crash' }),
  },
  notes:
    `The threshold of GradES is ${threshold} here and not the library's 0.3, so that so short a run shows freezing; in the ` +
    'comparison that cost half a point of accuracy.',
} as const;

/** Which device runs, and why. */
function inWords({ kind, adapter, software }: Device, choice: string): string {
  const name = kind === 'cpu' ? `cpu (${adapter})` : `webgpu on ${adapter}`;
  const found = kind === 'cpu' ? 'because this machine has no graphics hardware' : 'the graphics hardware found';
  const reason = choice === 'auto' ? found : `as asked for with --device ${choice}`;
  return `${name}${kind === 'webgpu' && software ? ' (a software adapter: a CPU, no GPU)' : ''}, ${reason}`;
}

await runCommand(async () => {
  const read = (argv: readonly string[]) => readOptions({ ...command, argv });
  const options = readLineOfRun(command.command, process.argv.slice(2), read);
  if (!options) return;
  const { steps, seed, resume, json, line } = options;

  const dataset = loadFragments({ directory: options.data, windowBytes: windowLength, testFragments });
  console.log(`${dataset.describe()}\n`);
  const device = await openDevice(options.device);
  console.log(`Device: ${inWords(device, options.device)}`);

  const { kind, adapter, software } = device;
  const config = {
    ...{ steps, seed, windowBytes: windowLength, classes: dataset.classes, ...training, learningRate, threshold },
    freezeLeftovers: true,
  };
  const path = resume ?? options.out ?? newRunPath('fragments');
  const circumstances = { device: { kind, adapter }, arguments: line };
  const folder = RunFolder[resume === null ? 'create' : 'join'](path, { ...config, ...circumstances });
  folder.claim();
  const interrupt = listenForInterrupt();
  console.log(`Run folder: ${path}. Ctrl-C ends the run after the current step; --resume goes on from there.`);
  console.log(
    "With GradES a block's norms freeze with its last matrix, and the embeddings with the first block, so that the lower " +
      'part of the graph really goes. Before the first arm the engine is warmed up for some seconds.\n',
  );

  const arm = { device, dataset, seed, steps, learningRate, threshold };
  await warmUp(arm, interrupt.signal);
  const goOn = `Go on with: npm start -- --resume ${path}`;
  // GradES first: its operations tell where on the full run's own curve a plain stop would have cost as much.
  const run = { folder, goOn, signal: interrupt.signal };
  await folder.sayingHow(goOn, async () => {
    const grades = await trainArm('grades', arm, run);
    const full = await trainArm('full', arm, { ...run, evaluateAtFlops: trainingOperations(grades) });
    interrupt.release();
    const results: StartResults = { device: { kind, adapter, software }, config, full, grades };
    writeReport(folder, startDocument(results), { file: 'summary.json', results, json });
  });
});
