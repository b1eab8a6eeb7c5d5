import { availableParallelism } from 'node:os';
import type { Device } from '../../src/index.ts';
import { formatSeconds } from '../fragments/format.ts';
import { listenForInterrupt } from '../fragments/interrupt.ts';
import { RunFolderError } from '../fragments/run-folder.ts';
import { pretrainingSteps } from './bases.ts';
import { circumstances } from './circumstances.ts';
import type { CompareOptions } from './options.ts';
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
import { armNames, type Comparison } from './results.ts';
import type { Store } from './store.ts';
import { loadTask, type TaskName } from './tasks.ts';
import { type Unit, type UnitResult, UnitRunner, unitKey } from './units.ts';
import { WholeProgress } from './whole-progress.ts';
import { type Failure, performUnits } from './workers.ts';

/** Ctrl-C came; what is done is kept. */
export class Interrupted extends Error {}

/** Some units failed; the others are kept. */
export class UnitsFailed extends Error {
  constructor(failures: readonly Failure[], path: string) {
    const reasons = failures.map(({ unit, reason }) => `${unitKey(unit)}: ${reason}`);
    super(
      `${failures.length} units failed; what is done is kept in ${path}, --resume tries again\n${reasons.join('\n')}`,
    );
  }
}

/** One comparison, phase after phase; each phase takes what is done from the folder. */
export class Study {
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
    const { tasks, quick, steps, shard, merge, untilPlan } = this.#options;
    const interrupt = listenForInterrupt();
    interrupt.signal.addEventListener('abort', () => this.#controller.abort());
    try {
      if (merge.length === 0) await this.#prepare(tasks);
      const sweep = steps === null ? await this.#sweep(tasks) : [];
      const plans = steps === null ? planTasks(tasks, sweep) : quickTaskPlans(tasks, steps);
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
        ...circumstances(this.#device),
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
    const runner = new UnitRunner(this.#device, baseSteps(this.#options));
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
      baseSteps: baseSteps(this.#options),
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

/** A short smoke run makes do with less. */
function baseSteps({ steps }: CompareOptions): number {
  return steps === null ? pretrainingSteps : Math.min(pretrainingSteps, 5 * steps);
}

/** Processes that train side by side. */
export function workerCount({ workers }: CompareOptions, device: Device): number {
  return workers ?? (device.kind === 'cpu' ? availableParallelism() : 1);
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
