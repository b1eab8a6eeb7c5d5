/**
 * `npm run ablate`: the rule over its threshold τ and grace period α, for each monitored quantity, beside full training.
 * What is tried stands in `protocol.ts`.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FrostgradError, type GradES, ParameterRegistry } from '../../src/index.ts';
import { gradesPolicy, newRun, type RunSource } from '../compare/arms.ts';
import { loadBase, pretrainingSteps } from '../compare/bases.ts';
import { circumstances, openForRuns } from '../compare/circumstances.ts';
import { evaluate } from '../evaluate.ts';
import { learningRates, type RuleSetting } from '../compare/protocol.ts';
import { loadTask } from '../compare/tasks.ts';
import { formatPercent, formatSeconds } from '../fragments/format.ts';
import { INTERRUPTED_EXIT_CODE, listenForInterrupt } from '../fragments/interrupt.ts';
import { OptionError } from '../fragments/options.ts';
import { RunFolder, RunFolderError } from '../fragments/run-folder.ts';
import { type AblateOptions, helpText, parseOptions } from './options.ts';
import { tried } from './protocol.ts';
import { pictures, reportPage } from './report.ts';
import type { Ablation, AblationRow } from './results.ts';
import { markdownTables, summaryText } from './tables.ts';

interface Trained {
  accuracy: number;
  operations: number;
  /** Of training alone. */
  seconds: number;
  steps: number;
  frozenShare: number;
}

async function main(options: AblateOptions): Promise<void> {
  const { task: taskName, steps, seeds, quick, json } = options;
  const device = await openForRuns(options.device);
  const path = options.out ?? join('runs', `ablate-${new Date().toISOString().replace(/[:.]/g, '-')}`);
  const folder = new RunFolder(path, { ...options, device: device.kind, adapter: device.adapter, tried });
  console.log(`Run folder: ${path}. Ctrl-C ends after the run under way and keeps what there is.`);
  console.log(`Device: ${device.kind} (${device.adapter})`);
  if (quick) console.log('This is a smoke run: it shows that everything works, and is no evidence of anything.');
  const task = loadTask(taskName);
  const baseSteps = quick ? Math.min(pretrainingSteps, 5 * steps) : pretrainingSteps;
  const base = await loadBase(task.base, device, { steps: baseSteps, onProgress: (line) => console.log(`  ${line}`) });
  const shared = { device, task, base, steps, learningRate: learningRates.full[1], adapters: false };

  const interrupt = listenForInterrupt();
  const cells = cellsOf(options);
  const rows: AblationRow[] = [];
  const progress = new Progress(seeds.length * (1 + cells.length));
  // The first run of a process compiles; none of the times is to hold that.
  await train({ ...shared, seed: seeds[0], steps: 20 }, null);
  for (const seed of seeds) {
    if (interrupt.signal.aborted) break;
    const full = await train({ ...shared, seed }, null);
    progress.tell(`seed ${seed}, full training`, full);
    for (const { quantity, scale, threshold, grace } of cells) {
      if (interrupt.signal.aborted) break;
      const {
        accuracy,
        operations,
        seconds,
        frozenShare,
        steps: run,
      } = await train({ ...shared, seed }, { quantity, scale, threshold, grace });
      progress.tell(`seed ${seed}, ${quantity} / ${scale}, τ ${threshold}, α ${grace}`, { accuracy, seconds });
      const row: AblationRow = {
        ...{ threshold, grace, quantity, scale, seed, accuracy, operations, seconds, frozenShare },
        ...{ fullAccuracy: full.accuracy, fullOperations: full.operations, steps: run, scheduleSteps: steps },
      };
      rows.push(row);
      folder.log(row);
    }
  }
  interrupt.release();
  const ablation: Ablation = { kind: quick ? 'smoke' : 'full', ...circumstances(device), task: task.name, rows };
  const page = folder.write('report.html', reportPage(ablation));
  for (const [name, svg] of Object.entries(pictures(ablation))) folder.write(name, svg);
  folder.write('tables.md', markdownTables(ablation));
  const text = `${JSON.stringify(ablation, null, 1)}\n`;
  folder.write('ablation.json', text);
  folder.close();
  if (json !== null) writeFileSync(json, text);
  console.log(`\n${summaryText(ablation)}\n\nThe page with all pictures: ${page}`);
  if (interrupt.signal.aborted) process.exitCode = INTERRUPTED_EXIT_CODE;
}

function cellsOf({ quantities, graces }: AblateOptions) {
  return tried
    .filter(({ quantity }) => quantities.includes(quantity))
    .flatMap(({ quantity, scale, thresholds }) =>
      thresholds.flatMap((threshold) => graces.map((grace) => ({ quantity, scale, threshold, grace }))),
    );
}

/** One training from the first step, with the rule or, where there is none, in full. */
async function train(source: RunSource, setting: RuleSetting | null): Promise<Trained> {
  const run = await newRun(source, source.steps);
  run.computesHalvesAlways = false;
  const policy = setting && gradesPolicy(run, new ParameterRegistry(run.model), setting);
  const started = performance.now();
  while (!run.isOver && !policy?.finished) await run.advance(policy ? [policy] : []);
  await policy?.end();
  await source.device.synchronize();
  const seconds = (performance.now() - started) / 1000;
  await run.optimizer.report();
  const { accuracy } = await evaluate(run.model, source.device, source.task.test);
  const trained = {
    accuracy,
    operations: run.trainingOperations,
    seconds,
    steps: run.step,
    frozenShare: shareOf(policy),
  };
  run.release();
  return trained;
}

function shareOf(policy: GradES | null): number {
  return policy ? policy.frozenCount / policy.watched.length : 0;
}

/** A plain line a run: what it came to, and how long the rest takes. */
class Progress {
  readonly #total: number;
  readonly #started = performance.now();
  #done = 0;

  constructor(total: number) {
    this.#total = total;
  }

  tell(what: string, { accuracy, seconds }: Pick<Trained, 'accuracy' | 'seconds'>): void {
    const elapsed = (performance.now() - this.#started) / 1000;
    this.#done++;
    const left = (elapsed / this.#done) * (this.#total - this.#done);
    console.log(
      `${this.#done}/${this.#total}  ${what}: ${formatPercent(accuracy)} in ${formatSeconds(seconds)}; ${formatSeconds(left)} left`,
    );
  }
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) console.log(helpText);
  else await main(options);
} catch (error) {
  if (!(error instanceof OptionError || error instanceof RunFolderError || error instanceof FrostgradError))
    throw error;
  console.error(error.message);
  process.exitCode = 1;
}
