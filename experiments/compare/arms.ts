import {
  allAtOnce,
  type Device,
  earlyStop,
  FreezeList,
  type FreezeListItem,
  GradES,
  inRandomOrder,
  inReversedOrder,
  LossPlateau,
  ParameterRegistry,
  type Policy,
  Random,
  type RegistryEvent,
  type StateDict,
} from '../../src/index.ts';
import { evaluate } from '../evaluate.ts';
import { buildModel } from './model.ts';
import { type RuleSetting, stopping, training, validationItems, validationShare } from './protocol.ts';
import type { ArmName, ArmResult, Freeze, Operations, SettingResult } from './results.ts';
import { Run, type Snapshot } from './run.ts';
import type { Task } from './tasks/task.ts';

/** A run with the name its schedule goes by: its length as a multiple of the task's own. */
export interface Labelled extends RunSource {
  length: number;
}

/** What all arms of one task, seed and schedule share. */
export interface ArmsOptions extends Labelled {
  arms: ReadonlySet<ArmName>;
  setting: RuleSetting;
  /** Whether early stopping is tried with the costly validation set too. */
  costlyValidation: boolean;
}

/** What a run starts from. */
export interface RunSource {
  device: Device;
  task: Task;
  base: StateDict;
  seed: number;
  /** Length of the schedule in steps. */
  steps: number;
  learningRate: number;
  /** Whether adapters train on a frozen base. */
  adapters: boolean;
  /** Called after every step of every arm. */
  onStep?(): void;
}

/** Streams of the random choices that controls make; weights and batches have their own. */
const streams = { randomMatrices: 11, plateau: 12 };

/** A policy that watches the common trajectory without acting on it, until its first decision. */
interface Observer {
  readonly registry: ParameterRegistry;
  readonly policy: Policy;
  /** Carries out what the policy decided. */
  readonly commit: () => void;
}

/** An observer that has decided, with the copy made before its decision is carried out. */
interface Decided extends Observer {
  readonly fork: Snapshot;
}

interface ValidationPoint {
  step: number;
  weights: StateDict;
  training: Operations;
  small: { accuracy: number; loss: number; operations: number };
  costly: { loss: number; operations: number } | null;
}

/**
 * Every arm that shares one trajectory. Full training, early stopping and plain stops are read off that trajectory; the
 * others leave it at their first decision, from a copy of everything that decides how the run goes on, so that they are
 * bit for bit what a run of their own would have been. Controls come at the operations GradES took.
 */
export async function trainArms(options: ArmsOptions): Promise<ArmResult[]> {
  return new Trajectory(options, await newRun(options, options.steps)).train();
}

class Trajectory {
  readonly #options: ArmsOptions;
  readonly #run: Run;
  readonly #results: ArmResult[] = [];
  readonly #points: ValidationPoint[] = [];

  constructor(options: ArmsOptions, run: Run) {
    this.#options = options;
    this.#run = run;
  }

  async train(): Promise<ArmResult[]> {
    const { adapters, steps, seed } = this.#options;
    const run = this.#run;
    const gradesName = adapters ? 'lora+grades' : 'full+grades';
    const plainStopName = adapters ? 'lora-plain-stop' : 'plain-stop';
    const controls = !adapters && this.#options.length === 1;
    const needsGrades = this.#wantsAny(gradesName, plainStopName) || (controls && this.#wantsAny(...operationControls));
    const grades = needsGrades ? observe(run, (registry) => gradesPolicy(run, registry, this.#options.setting)) : null;
    const plateau =
      controls && this.#wants('plateau')
        ? observe(run, (registry) => new LossPlateau(registry, run.optimizer, plateauOptions(steps, seed)))
        : null;
    let watching: Observer[] = [grades, plateau].filter((observer) => observer !== null);
    let plateauFork: Decided | null = null;
    let taken: ArmResult | null = null;
    let plainStopDue = false;

    while (!run.isOver) {
      await run.advance(watching.map(({ policy }) => policy));
      for (const observer of watching) {
        if (observer.registry.deferred.length === 0) continue;
        const decided = { ...observer, fork: await run.snapshot() };
        watching = watching.filter((other) => other !== observer);
        if (observer !== grades) {
          plateauFork = decided;
          continue;
        }
        taken = await this.#branch(gradesName, decided, Number.POSITIVE_INFINITY);
        plainStopDue = this.#wants(plainStopName);
        if (controls) await this.#sameTimes(decided.fork, listOf(taken), totalTraining(taken));
      }
      if (taken && controls && this.#wants('all-at-once') && run.step === meanStep(listOf(taken))) {
        const names = listOf(taken).map(({ name }) => name);
        await this.#follow('all-at-once', allAtOnce(names, run.step), await run.snapshot(), totalTraining(taken));
      }
      if (taken && plainStopDue && run.trainingOperations >= totalTraining(taken)) {
        plainStopDue = false;
        this.#results.push(await this.#result(plainStopName, []));
      }
      if (run.step % Math.max(1, Math.round(stopping.every * steps)) === 0) await this.#validate();
    }

    const full = await this.#result(adapters ? 'lora' : 'full', []);
    this.#results.push({ ...full, validation: this.#validationCurve() });
    const end = await run.snapshot();
    if (grades && !taken) taken = { ...full, arm: gradesName, ...watchedBy(grades.policy), validation: [] };
    if (taken && this.#wants(gradesName)) this.#results.push(taken);
    if (plainStopDue) this.#results.push({ ...full, arm: plainStopName });
    if (plateau && taken) {
      if (plateauFork) this.#results.push(await this.#branch('plateau', plateauFork, totalTraining(taken)));
      else this.#results.push({ ...full, arm: 'plateau' });
    }
    if (taken && controls && listOf(taken).length === 0) {
      // A rule that froze nothing leaves its controls nothing to imitate: they are the full run.
      for (const arm of ['all-at-once', 'random-matrices', 'reversed'] as const) {
        if (this.#wants(arm)) this.#results.push({ ...full, arm });
      }
    }
    await this.#readEarlyStopping(end);
    run.release();
    if (taken && controls) await this.#shortSchedules(totalTraining(taken));
    return this.#results;
  }

  #wants(arm: ArmName): boolean {
    return this.#options.arms.has(arm);
  }

  #wantsAny(...arms: readonly ArmName[]): boolean {
    return arms.some((arm) => this.#wants(arm));
  }

  #branch(arm: ArmName, decided: Decided, limit: number): Promise<ArmResult> {
    const { policy, registry } = decided;
    return branch(this.#run, decided, limit, async () => ({
      ...(await this.#result(arm, registry.events)),
      ...watchedBy(policy),
    }));
  }

  /** GradES's own times, on other matrices. */
  async #sameTimes(fork: Snapshot, list: readonly FreezeListItem[], operations: number): Promise<void> {
    if (this.#wants('random-matrices')) {
      const random = new Random(this.#options.seed, streams.randomMatrices);
      await this.#follow('random-matrices', inRandomOrder(list, random), fork, operations);
    }
    if (this.#wants('reversed')) await this.#follow('reversed', inReversedOrder(list), fork, operations);
  }

  /** Freezes by a list from `fork` on, until the operations are spent, and comes back. */
  async #follow(arm: ArmName, list: readonly FreezeListItem[], fork: Snapshot, operations: number): Promise<void> {
    const run = this.#run;
    const here = await run.snapshot();
    run.restore(fork);
    const registry = new ParameterRegistry(run.model);
    const policy = new FreezeList(registry, { list, freezeLeftovers: true });
    // What the list has for the step of the copy itself happens before the run goes on.
    await policy.afterStep(run.step);
    while (!run.isOver && run.trainingOperations < operations) await run.advance([policy]);
    await policy.end();
    this.#results.push(await this.#result(arm, registry.events));
    run.restore(here);
  }

  async #validate(): Promise<void> {
    const { device, task, steps, adapters, costlyValidation } = this.#options;
    const wanted = adapters
      ? this.#wants('lora+stopping')
      : this.#wantsAny('full+stopping', 'full+stopping-best', 'full+stopping-costly');
    if (!wanted) return;
    const items = (share: number) => validationItems(share, steps, task.validation.count);
    const small = await evaluate(this.#run.model, device, task.validation, items(validationShare.small));
    const costly =
      costlyValidation && !adapters && this.#wants('full+stopping-costly')
        ? await evaluate(this.#run.model, device, task.validation, items(validationShare.costly))
        : null;
    this.#points.push({
      step: this.#run.step,
      weights: await this.#run.model.stateDict(),
      training: { ...this.#run.operations },
      small,
      costly,
    });
  }

  #validationCurve(): ArmResult['validation'] {
    return this.#points.map(({ step, training: operations, small: { accuracy, loss } }) => ({
      step,
      accuracy,
      loss,
      operations: operations.forward + operations.backward + operations.optimizer,
    }));
  }

  /** Where classic early stopping would have ended on the curve just recorded, and what it would have kept. */
  async #readEarlyStopping(end: Snapshot): Promise<void> {
    const points = this.#points;
    if (points.length === 0) return;
    const { adapters } = this.#options;
    const read = async (arm: ArmName, useCostly: boolean, returnToBest: boolean) => {
      if (!this.#wants(arm)) return;
      const seen = points.map(({ small, costly }) => (useCostly ? costly : small)).filter((seen) => seen !== null);
      if (seen.length === 0) return;
      const losses = seen.map(({ loss }) => loss);
      const { stopIndex, bestIndex } = earlyStop(losses, stopping);
      const last = stopIndex ?? points.length - 1;
      const validation = seen.slice(0, last + 1).reduce((sum, { operations }) => sum + operations, 0);
      // Without a stop training goes on to the end, which may lie behind the last evaluation.
      const stop = stopIndex === null ? null : points[stopIndex];
      const kept = returnToBest ? points[bestIndex] : stop;
      this.#run.restore(end);
      if (kept) this.#run.model.loadStateDict(kept.weights);
      const result = await this.#result(arm, []);
      this.#results.push({
        ...result,
        steps: stop?.step ?? end.step,
        operations: { ...(stop?.training ?? end.operations), validation },
        losses: result.losses.filter(({ step }) => step <= (stop?.step ?? end.step)),
        memory: result.memory.filter(({ step }) => step <= (stop?.step ?? end.step)),
      });
    };
    if (adapters) await read('lora+stopping', false, false);
    else {
      await read('full+stopping', false, false);
      await read('full+stopping-best', false, true);
      await read('full+stopping-costly', true, false);
    }
  }

  /** A full cosine that is as long as GradES's operations allow. */
  async #shortSchedules(operations: number): Promise<void> {
    const { steps } = this.#options;
    const full = this.#results.find(({ arm }) => arm === 'full');
    if (!full) return;
    const length = Math.max(1, Math.min(steps, Math.round((steps * operations) / totalTraining(full))));
    for (const [arm, factor] of [
      ['short-cosine', 1],
      ['short-cosine-2x', 2],
    ] as const) {
      if (!this.#wants(arm)) continue;
      const run = await newRun({ ...this.#options, learningRate: factor * this.#options.learningRate }, length);
      this.#results.push(await completeRun(this.#options, arm, run));
    }
  }

  #result(arm: ArmName, events: readonly RegistryEvent[]): Promise<ArmResult> {
    return describeRun(this.#options, arm, this.#run, events);
  }
}

/** The controls that come at the operations GradES took. */
export const operationControls: readonly ArmName[] = [
  'short-cosine',
  'short-cosine-2x',
  'all-at-once',
  'random-matrices',
  'reversed',
  'plateau',
];

/** One full run by itself; `perturb` multiplies its initial weights by 1 + perturb. */
export async function trainAlone(options: Labelled, arm: ArmName, perturb: number): Promise<ArmResult> {
  return completeRun(options, arm, await newRun(options, options.steps, perturb));
}

async function completeRun(options: Labelled, arm: ArmName, run: Run): Promise<ArmResult> {
  while (!run.isOver) await run.advance();
  const result = await describeRun(options, arm, run, []);
  run.release();
  return result;
}

export async function newRun(options: RunSource, steps: number, perturb = 0): Promise<Run> {
  const model = await buildModel(options, perturb);
  return new Run({ ...options, steps, model });
}

async function describeRun(
  { device, task, seed, length }: Labelled,
  arm: ArmName,
  run: Run,
  events: readonly RegistryEvent[],
): Promise<ArmResult> {
  await run.optimizer.report();
  const { accuracy, loss } = await evaluate(run.model, device, task.test);
  return {
    arm,
    task: task.name,
    seed,
    length,
    scheduleSteps: run.options.steps,
    steps: run.step,
    accuracy,
    loss,
    operations: { ...run.operations },
    freezes: freezesOf(run, events),
    losses: [...run.losses],
    validation: [],
    memory: [...run.memory],
    signals: [],
    threshold: null,
  };
}

export function gradesPolicy(run: Run, registry: ParameterRegistry, setting: RuleSetting): GradES {
  const { steps } = run.options;
  const warmup = Math.max(1, Math.floor(training.warmup * steps));
  return new GradES(registry, run.optimizer, { ...setting, steps, sampleFrom: warmup, freezeLeftovers: true });
}

/** The same grace, patience and spacing as the rule's, so that the two differ in what they look at. */
function plateauOptions(steps: number, seed: number) {
  return { steps, random: new Random(seed, streams.plateau), freezeLeftovers: true };
}

function observe(run: Run, makePolicy: (registry: ParameterRegistry) => Policy): Observer {
  const registry = new ParameterRegistry(run.model);
  const policy = makePolicy(registry);
  return { registry, policy, commit: registry.defer() };
}

/**
 * Goes on from an observer's first decision, now with its decisions carried out, until there is nothing left to train or
 * the operations are spent; describes what came of it, and comes back.
 */
async function branch<T>(
  run: Run,
  { fork, policy, commit }: Decided,
  limit: number,
  describe: () => Promise<T>,
): Promise<T> {
  const here = await run.snapshot();
  run.restore(fork);
  commit();
  while (!run.isOver && !policy.finished && run.trainingOperations < limit) await run.advance([policy]);
  await policy.end();
  const result = await describe();
  run.restore(here);
  return result;
}

/**
 * Tries every setting of the rule on one trajectory and scores it on validation; no test item is looked at.
 *
 * @returns one result a setting, against full training.
 */
export async function tuneRule(
  options: RunSource,
  settings: Readonly<Record<string, RuleSetting>>,
): Promise<Omit<SettingResult, 'chosen'>[]> {
  const { device, task, seed, steps } = options;
  const run = await newRun(options, steps);
  const score = async () => ({
    accuracy: (await evaluate(run.model, device, task.validation)).accuracy,
    operations: run.trainingOperations,
  });
  let watching = Object.entries(settings).map(([name, setting]) => ({
    name,
    ...observe(run, (registry) => gradesPolicy(run, registry, setting)),
  }));
  const scores = new Map<string, { accuracy: number; operations: number }>();
  while (!run.isOver) {
    await run.advance(watching.map(({ policy }) => policy));
    for (const observer of watching) {
      if (observer.registry.deferred.length === 0) continue;
      watching = watching.filter((other) => other !== observer);
      const decided = { ...observer, fork: await run.snapshot() };
      scores.set(observer.name, await branch(run, decided, Number.POSITIVE_INFINITY, score));
    }
  }
  const full = await score();
  run.release();
  return Object.keys(settings).map((setting) => {
    const { accuracy, operations } = scores.get(setting) ?? full;
    return {
      setting,
      task: task.name,
      seed,
      accuracyDifference: accuracy - full.accuracy,
      operationsRatio: operations / full.operations,
    };
  });
}

function freezesOf(run: Run, events: readonly RegistryEvent[]): Freeze[] {
  const registry = new ParameterRegistry(run.model);
  return events
    .filter(({ type }) => type === 'freeze')
    .map(({ name, step, value }) => {
      const { kind, block } = registry.get(name);
      return { step, name, kind, block, value };
    });
}

/** The freezes of watched matrices; what only followed them is left out. */
function listOf(result: ArmResult): FreezeListItem[] {
  return result.freezes.filter(({ value }) => value !== null).map(({ name, step }) => ({ name, step }));
}

function meanStep(list: readonly FreezeListItem[]): number {
  return Math.round(list.reduce((sum, { step }) => sum + step, 0) / list.length);
}

function totalTraining({ operations }: ArmResult): number {
  return operations.forward + operations.backward + operations.optimizer;
}

const samplesShown = 60;

function watchedBy(policy: Policy): Pick<ArmResult, 'signals' | 'threshold'> {
  if (!(policy instanceof GradES)) return { signals: [], threshold: null };
  const every = Math.max(1, Math.ceil(policy.checks.length / samplesShown));
  const checks = policy.checks.filter((_, i) => i % every === 0);
  const signals = policy.watched.map(({ name, kind, block }) => ({
    name,
    kind,
    block,
    samples: checks.flatMap(({ step, values }) => {
      const value = values.get(name);
      return value === undefined ? [] : [{ step, value: Number(value.toPrecision(4)) }];
    }),
  }));
  return { signals, threshold: policy.threshold };
}
