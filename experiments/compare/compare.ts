/**
 * `npm run compare`: GradES against full training, early stopping, LoRA, and controls that take as many operations. The
 * protocol is in `protocol.ts`; what one unit of work does in `arms.ts`.
 */

import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { type Device, FrostgradError, NoAdapterError, openDevice } from '../../src/index.ts';
import { formatSeconds } from '../fragments/format.ts';
import { INTERRUPTED_EXIT_CODE, listenForInterrupt } from '../fragments/interrupt.ts';
import { OptionError } from '../fragments/options.ts';
import { RunFolderError } from '../fragments/run-folder.ts';
import { type CompareOptions, helpText, parseOptions } from './options.ts';
import {
  chosenSetting,
  learningRateUnits,
  lengthUnits,
  planTasks,
  quickTaskPlans,
  reportedUnits,
  shardOf,
  type TaskPlan,
  timingUnits,
  tuningUnits,
} from './plan.ts';
import * as protocol from './protocol.ts';
import { pictures, reportPage } from './report.ts';
import { armNames, type Comparison } from './results.ts';
import { newestUnfinished, Store } from './store.ts';
import { markdownTables, summaryText } from './tables.ts';
import { loadTask, type TaskName } from './tasks.ts';
import { type Unit, type UnitResult, UnitRunner, unitKey } from './units.ts';
import { WholeProgress } from './whole-progress.ts';
import { type Failure, performUnits } from './workers.ts';

const runsFolder = 'runs';

/** Ctrl-C came; what is done is kept. */
class Interrupted extends Error {}

/** Some units failed; the others are kept. */
class UnitsFailed extends Error {
  constructor(failures: readonly Failure[], path: string) {
    const reasons = failures.map(({ unit, reason }) => `${unitKey(unit)}: ${reason}`);
    super(
      `${failures.length} units failed; what is done is kept in ${path}, --resume tries again\n${reasons.join('\n')}`,
    );
  }
}

async function main(options: CompareOptions): Promise<void> {
  const device = await chooseDevice(options.device);
  const store = openStore(options, device);
  console.log(`Run folder: ${store.path}. Ctrl-C keeps what is done; --resume goes on from there.`);
  console.log(`Device: ${device.kind} (${device.adapter}), ${workerCount(options, device)} processes side by side.`);
  if (options.quick)
    console.log('This is a smoke run: it shows that everything works, and is no evidence of anything.');
  const comparison = await new Study(options, device, store).run();
  if (!comparison) return;
  const text = `${JSON.stringify(comparison, null, 1)}\n`;
  const page = store.write('report.html', reportPage(comparison));
  for (const [name, svg] of Object.entries(pictures(comparison))) store.write(name, svg);
  store.write('tables.md', markdownTables(comparison));
  store.write('comparison.json', text);
  if (options.json !== null) writeFileSync(options.json, text);
  console.log(`\n${summaryText(comparison)}\n\nThe page with all pictures: ${page}`);
}

/** One comparison, phase after phase; each phase takes what is done from the folder. */
class Study {
  readonly #options: CompareOptions;
  readonly #device: Device;
  readonly #store: Store;
  readonly #controller = new AbortController();

  constructor(options: CompareOptions, device: Device, store: Store) {
    this.#options = options;
    this.#device = device;
    this.#store = store;
  }

  /** Null where the options end the run before its tables. */
  async run(): Promise<Comparison | null> {
    const { tasks, quick, shard, untilPlan } = this.#options;
    const interrupt = listenForInterrupt();
    interrupt.signal.addEventListener('abort', () => this.#controller.abort());
    try {
      await this.#prepare(tasks);
      const sweep = quick ? [] : await this.#sweep(tasks);
      const plans = quick ? quickTaskPlans(tasks) : planTasks(tasks, sweep);
      const tuning = quick ? [] : tuningUnits(plans);
      const settings = (await this.#perform('choosing the setting of the rule', tuning)).flatMap((r) => r.settings);
      const setting = chosenSetting(settings);
      this.#store.write('plan.json', `${JSON.stringify({ plans, setting }, null, 1)}\n`);
      console.log(describePlans(plans, setting));
      if (untilPlan) return null;

      const rule = protocol.ruleSettings[setting];
      const reported = shardOf(reportedUnits(plans, rule, this.#options), shard);
      const arms = (await this.#perform('training the arms', reported)).flatMap((result) => result.arms);
      const timing = shardOf(timingUnits(plans, rule, this.#options), shard);
      const timings = (await this.#perform('timing, one arm at a time', timing, 1)).flatMap((r) => r.timings);
      if (shard) {
        console.log(`Part ${shard.index} of ${shard.count} is done. When all are: npm run compare -- --merge …`);
        return null;
      }
      return {
        kind: quick ? 'smoke' : 'full',
        date: new Date().toISOString().slice(0, 10),
        machine: `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), Node ${process.version}`,
        device: { kind: this.#device.kind, adapter: this.#device.adapter },
        model: 'two blocks, width 32, 2 heads, hidden 88, 32 tokens; batch 16; AdamW; warm-up and half a cosine',
        seeds: this.#options.seeds,
        omissions: omissions(this.#options),
        tasks: plans.map((plan) => {
          const { name, base, character, source, description, classes } = loadTask(plan.task);
          const tuned = protocol.tuningTasks.includes(plan.task) && !quick;
          const { steps, learningRate } = plan;
          return { name, base, character, source, description, classes, steps, learningRate, tuning: tuned };
        }),
        arms: arms.filter(({ arm }) => this.#options.arms.includes(arm)),
        timings,
        sweep,
        settings: settings.map((result) => ({ ...result, chosen: result.setting === setting })),
      };
    } finally {
      interrupt.release();
    }
  }

  /** Pretrains the bases here, so that workers find them. */
  async #prepare(tasks: readonly TaskName[]): Promise<void> {
    const runner = new UnitRunner(this.#device);
    for (const base of new Set(tasks.map((task) => loadTask(task).base))) {
      await runner.base(base, (message) => console.log(`  ${message}`));
      if (this.#controller.signal.aborted) throw new Interrupted();
    }
  }

  async #sweep(tasks: readonly TaskName[]) {
    const rates = await this.#perform('choosing learning rates', learningRateUnits(tasks));
    const sweep = rates.flatMap((result) => result.sweep);
    const lengths = await this.#perform('choosing schedule lengths', lengthUnits(tasks, sweep));
    return [...sweep, ...lengths.flatMap((result) => result.sweep)];
  }

  /** Results of all units in their order, those that were done before included. */
  async #perform(label: string, units: readonly Unit[], workers = workerCount(this.#options, this.#device)) {
    const results = new Map<Unit, UnitResult>();
    for (const unit of units) {
      const known = this.#store.load(unit);
      if (known) results.set(unit, known);
    }
    const open = units.filter((unit) => !results.has(unit));
    if (this.#options.merge.length > 0 && open.length > 0) {
      throw new RunFolderError(`the folders to merge lack ${open.length} units, such as ${unitKey(open[0])}`);
    }
    const progress = new WholeProgress(label, open, process.stdout);
    const started = performance.now();
    const failures = await performUnits(open, {
      deviceKind: this.#device.kind,
      workers,
      signal: this.#controller.signal,
      onStart: (unit) => progress.start(unit),
      onSteps: (unit, steps) => progress.advance(unit, steps),
      onDone: (unit, result) => {
        this.#store.save(unit, result);
        results.set(unit, result);
        progress.finish(unit);
      },
    });
    progress.end();
    if (this.#controller.signal.aborted) throw new Interrupted();
    if (failures.length > 0) throw new UnitsFailed(failures, this.#store.path);
    if (open.length > 0) {
      console.log(`${label}: ${open.length} units in ${formatSeconds((performance.now() - started) / 1000)}`);
    }
    return units.flatMap((unit) => results.get(unit) ?? []);
  }
}

async function chooseDevice(choice: CompareOptions['device']): Promise<Device> {
  if (choice !== 'auto') return openDevice(choice);
  try {
    const device = await openDevice('webgpu');
    if (!device.software) return device;
  } catch (error) {
    if (!(error instanceof NoAdapterError)) throw error;
  }
  return openDevice('cpu');
}

function workerCount({ workers }: CompareOptions, device: Device): number {
  return workers ?? (device.kind === 'cpu' ? availableParallelism() : 1);
}

function openStore(options: CompareOptions, device: Device): Store {
  const { tasks, arms, seeds, lengths, quick, merge } = options;
  const config = { protocol, tasks, arms, seeds, lengths, quick, device: device.kind, adapter: device.adapter };
  const fresh = join(runsFolder, `compare-${new Date().toISOString().replace(/[:.]/g, '-')}`);
  if (merge.length > 0) {
    const parts = merge.map((path) => Store.read(path));
    const store = Store.open(options.out ?? fresh, config, 'join');
    for (const part of parts) {
      if (part.config !== store.config) {
        throw new RunFolderError(`${part.path} was made with other settings than these: give the options it had`);
      }
      if (part.path !== store.path) store.copyUnitsFrom(part);
    }
    return store;
  }
  const resumed = options.resume ? (options.out ?? newestUnfinished(runsFolder)) : options.out;
  if (options.resume && resumed === null) {
    throw new RunFolderError(`--resume found no unfinished comparison below ${runsFolder}; name its folder with --out`);
  }
  const joins = options.resume || options.shard !== null;
  return Store.open(resumed ?? fresh, config, joins ? 'join' : 'new');
}

function describePlans(plans: readonly TaskPlan[], setting: string): string {
  const lines = plans.map(
    ({ task, steps, learningRate: { full, lora } }) =>
      `  ${task}: ${steps} steps, rates ${full} (full) and ${lora} (LoRA)`,
  );
  return ['Fixed before any reported run:', ...lines, `  rule: ${setting}`].join('\n');
}

function omissions({ quick, seeds, lengths, tasks, arms }: CompareOptions): string[] {
  if (quick) return ['Smoke run: schedules, learning rates and the rule were not chosen from data.'];
  const list: string[] = ['The costly validation set was tried with the first seed alone.'];
  if (!protocol.tuningTasks.some((task) => tasks.includes(task))) {
    list.push('No tuning task took part, so the rule ran with its default setting.');
  }
  if (seeds.length < protocol.reportSeeds.length) list.push(`Only ${seeds.length} seeds.`);
  const missing = protocol.lengthFactors.filter((factor) => !lengths.includes(factor));
  if (missing.length > 0) list.push(`Schedules of ${missing.join(' and ')} times the task's own length were not run.`);
  if (arms.length < armNames.length) list.push('Some arms were not run.');
  list.push('The controls and the null arm were not run on the tuning tasks.');
  return list;
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) console.log(helpText);
  else await main(options);
} catch (error) {
  if (error instanceof Interrupted) {
    console.log('\nInterrupted. Go on with: npm run compare -- --resume (and the same options)');
    process.exitCode = INTERRUPTED_EXIT_CODE;
  } else if (
    error instanceof OptionError ||
    error instanceof RunFolderError ||
    error instanceof UnitsFailed ||
    error instanceof FrostgradError
  ) {
    console.error(error.message);
    process.exitCode = 1;
  } else throw error;
}
