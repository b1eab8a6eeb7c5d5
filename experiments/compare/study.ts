/** One comparison, phase after phase. Each phase takes from the folder what is done already. */

import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { CommandError } from '../../command/error.ts';
import { formatSeconds } from '../../command/format.ts';
import { Interrupted, listenForInterrupt } from '../../command/interrupt.ts';
import { Progress } from '../../command/progress.ts';
import { RunFolderError } from '../../command/run-folder.ts';
import type { Device } from '../../src/index.ts';
import { counted } from '../report/numbers.ts';
import { armNames } from './arms.ts';
import { pretrainingSteps } from './bases.ts';
import { circumstances } from './circumstances.ts';
import type { CompareOptions } from './options.ts';
import {
  armsUnits,
  calibrationUnits,
  learningRateUnits,
  lengthUnits,
  planTasks,
  quickTaskPlans,
  shardOf,
  type TaskPlan,
  timingUnits,
  tuningUnits,
} from './plan.ts';
import * as protocol from './protocol.ts';
import type { Comparison, SweepResult } from './results.ts';
import type { UnitStore } from './store.ts';
import { loadTask, type TaskName } from './tasks.ts';
import { type Bases, expectedSteps, type Rules, type Unit, type UnitResult, UnitRunner, unitKey } from './units.ts';
import { armNameOf } from './user-policy.ts';
import { performUnits } from './workers.ts';

export class Study {
  readonly #options: CompareOptions;
  readonly #device: Device;
  readonly #store: UnitStore<Unit, UnitResult>;
  readonly #interrupt = listenForInterrupt();

  constructor(options: CompareOptions, device: Device, store: UnitStore<Unit, UnitResult>) {
    this.#options = options;
    this.#device = device;
    this.#store = store;
  }

  /**
   * Null where the options end the run before its tables.
   *
   * @throws Interrupted, and CommandError where units failed; what is done is kept.
   */
  async run(): Promise<Comparison | null> {
    try {
      return await this.#phases();
    } finally {
      this.#interrupt.release();
    }
  }

  async #phases(): Promise<Comparison | null> {
    const { tasks, quick, steps, seeds, shard, merge, until, policy } = this.#options;
    if (merge.length === 0) await this.#pretrain();
    const sweep = steps === null ? await this.#sweep(tasks) : [];
    const plans = steps === null ? planTasks(tasks, sweep) : quickTaskPlans(tasks, steps);
    const tuning = quick ? [] : tuningUnits(plans);
    const settings = (await this.#perform('choosing the setting of the rule', tuning)).flatMap((r) => r.settings);
    const calibration = await this.#perform(
      'calibrating the rules of the paper',
      calibrationUnits(plans, this.#options),
    );
    const calibrations = calibration.flatMap((result) => result.calibrations);
    const setting = protocol.chooseSetting(settings);
    this.#store.folder.writeJson('plan.json', { plans, setting, calibrations });
    console.log(describePlans(plans, setting));
    if (until) return null;

    const thresholdsOf = (task: string) => calibrations.find((each) => each.task === task)?.thresholds ?? {};
    const rulesOf = (task: TaskName): Rules => ({
      ...{ setting: protocol.ruleSettings[setting], thresholds: thresholdsOf(task), policy },
    });
    const reported = shardOf(armsUnits(plans, rulesOf, this.#options), shard);
    const arms = (await this.#perform('training the arms', reported)).flatMap((result) => result.arms);
    const timing = shardOf(timingUnits(plans, rulesOf, this.#options), shard);
    const timings = (await this.#perform('timing, one arm at a time', timing, 1)).flatMap((r) => r.timings);
    if (shard) {
      console.log(`Part ${shard.index} of ${shard.count} is done. When all are: npm run compare -- --merge …`);
      return null;
    }
    return {
      kind: quick ? 'smoke' : 'full',
      ...circumstances(this.#device),
      seeds,
      policy: policy === null ? null : { arm: armNameOf(policy), file: policy },
      omissions: omissions(this.#options),
      tasks: plans.map((plan) => {
        const { name, base, character, source, description, classes } = loadTask(plan.task);
        const tuned = protocol.tuningTasks.includes(plan.task) && !quick;
        const { steps, learningRate } = plan;
        const paperThresholds = thresholdsOf(plan.task);
        return {
          ...{ name, base, character, source, description, classes, steps, learningRate, tuning: tuned },
          paperThresholds,
        };
      }),
      arms,
      timings,
      sweep,
      settings: settings.map((result) => ({ ...result, chosen: result.setting === setting })),
    };
  }

  /** Pretrains the bases here, so that workers find them. */
  async #pretrain(): Promise<void> {
    const runner = new UnitRunner(this.#device, this.#bases);
    for (const base of new Set(this.#options.tasks.map((task) => loadTask(task).base))) {
      await runner.base(base, (message) => console.log(`  ${message}`));
      this.#stopIfInterrupted();
    }
  }

  async #sweep(tasks: readonly TaskName[]): Promise<SweepResult[]> {
    const rates = await this.#perform('choosing learning rates', learningRateUnits(tasks));
    const sweep = rates.flatMap((result) => result.sweep);
    const lengths = await this.#perform('choosing schedule lengths', lengthUnits(tasks, sweep));
    return [...sweep, ...lengths.flatMap((result) => result.sweep)];
  }

  /** Results of all units in their order, those that were done before included. */
  async #perform(
    label: string,
    units: readonly Unit[],
    workers = workerCount(this.#options, this.#device),
  ): Promise<UnitResult[]> {
    const results = new Map<Unit, UnitResult>();
    for (const unit of units) {
      const known = this.#store.load(unit);
      if (known) results.set(unit, known);
    }
    const open = units.filter((unit) => !results.has(unit));
    if (open.length === 0) return units.flatMap((unit) => results.get(unit) ?? []);
    if (this.#options.merge.length > 0) {
      throw new RunFolderError(
        `the folders to merge lack ${counted(open.length, 'unit')}, such as ${unitKey(open[0])}`,
      );
    }
    const started = performance.now();
    const underWay = new Map<Unit, number>();
    const progress = new Progress({ label, total: open.reduce((sum, unit) => sum + expectedSteps(unit), 0) });
    let finished = 0;
    const show = () => {
      const parts = [...underWay].map(([unit, steps]) => ({ unit, share: Math.min(1, steps / expectedSteps(unit)) }));
      progress.update(finished + parts.reduce((sum, { unit, share }) => sum + share * expectedSteps(unit), 0), [
        { text: `${results.size}/${units.length}`, importance: 9 },
        ...parts.map(({ unit, share }, i) => ({
          text: `${unit.phase === 'timing' ? unit.arm : unit.task} seed ${unit.seed} ${Math.floor(100 * share)} %`,
          importance: 2 - i,
        })),
      ]);
    };
    const failures = await performUnits(open, {
      ...{ deviceKind: this.#device.kind, bases: this.#bases, workers, signal: this.#interrupt.signal },
      onSteps: (unit, steps) => {
        underWay.set(unit, (underWay.get(unit) ?? 0) + steps);
        show();
      },
      onDone: (unit, result) => {
        this.#store.save(unit, result);
        results.set(unit, result);
        underWay.delete(unit);
        finished += expectedSteps(unit);
        show();
      },
    }).finally(() => progress.end());
    this.#stopIfInterrupted();
    if (failures.length > 0) {
      const reasons = failures.map(({ unit, reason }) => `${unitKey(unit)}: ${reason}`).join('\n');
      const kept = `what is done is kept in ${this.#store.folder.path}, --resume tries again`;
      throw new CommandError(`${counted(failures.length, 'unit')} failed; ${kept}\n${reasons}`);
    }
    const seconds = (performance.now() - started) / 1000;
    console.log(`${label}: ${counted(open.length, 'unit')} in ${formatSeconds(seconds)}`);
    return units.flatMap((unit) => results.get(unit) ?? []);
  }

  #stopIfInterrupted(): void {
    if (this.#interrupt.signal.aborted) {
      throw new Interrupted('Go on with: npm run compare -- --resume (and the same options)');
    }
  }

  /** Beside the run's folder, so that the next run finds them. A short smoke run makes do with less. */
  get #bases(): Bases {
    const { steps } = this.#options;
    return {
      folder: join(dirname(this.#store.folder.path), 'bases'),
      steps: steps === null ? pretrainingSteps : Math.min(pretrainingSteps, 5 * steps),
    };
  }
}

/** Processes that train side by side. */
export function workerCount({ workers }: Pick<CompareOptions, 'workers'>, device: Device): number {
  return workers ?? (device.kind === 'cpu' ? availableParallelism() : 1);
}

function describePlans(plans: readonly TaskPlan[], setting: string): string {
  const lines = plans.map(
    ({ task, steps, learningRate: { full, lora } }) =>
      `  ${task}: ${steps} steps, rates ${full} (full) and ${lora} (LoRA)`,
  );
  return ['Fixed before any reported run:', ...lines, `  rule: ${setting}`].join('\n');
}

/** What a reader has to know was left out. */
function omissions({ quick, seeds, lengths, tasks, arms }: CompareOptions): string[] {
  if (quick) return ['Smoke run: schedules, learning rates and the rule were not chosen from data.'];
  const { tuningTasks, reportSeeds, lengthFactors } = protocol;
  const missing = lengthFactors.filter((factor) => !lengths.includes(factor));
  return [
    'The costly validation set was tried with the first seed alone.',
    ...(tuningTasks.some((name) => tasks.some((task) => task === name))
      ? []
      : ['No tuning task took part, so the rule ran with its default setting.']),
    ...(seeds.length < reportSeeds.length ? [`Only ${seeds.length} seeds.`] : []),
    ...(missing.length > 0 ? [`Schedules of ${missing.join(' and ')} times the task's own length were not run.`] : []),
    ...(armNames.every((name) => arms.includes(name)) ? [] : ['Some arms were not run.']),
    "The controls, the paper's rules and the null arm were not run on the tuning tasks.",
  ];
}
