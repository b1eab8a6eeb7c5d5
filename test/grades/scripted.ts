/** Rules on sums that are written beforehand. */
import {
  type Check,
  gradientMagnitude,
  type Optimizer,
  type Parameter,
  ParameterRegistry,
  type ParameterSum,
  type Policy,
  type RegistryEntry,
  SGD,
  type StepReport,
  type SumWatch,
} from '../../src/index.ts';
import { cpu } from '../devices.ts';
import { releaseLater, type TinyOptions, tinyModel } from '../nn/tiny.ts';

/** Σ |g| as a share of its peak, where one low value is enough. */
export const magnitude = { signal: gradientMagnitude, horizon: 0, patience: 0 } as const;
/** Sum to report for a parameter at a step, whatever is watched; null where it has no gradient. */
export type Script = (step: number, name: string) => number | null;

/** An optimizer whose reports are written beforehand: a watch sees the script where it asked for a measurement. */
export class ScriptedOptimizer extends SGD {
  readonly script: Script;
  readonly #watches: SumWatch[] = [];
  #measuring: SumWatch[] = [];
  now = 0;
  /** Milliseconds until a report arrives. */
  delay = 0;
  reports = 0;
  /** Loss of each step. */
  lossOf: (step: number) => number = () => 0;

  constructor(parameters: readonly Parameter[], script: Script) {
    super(parameters, { learningRate: 0 });
    this.script = script;
  }

  override watch(sum: ParameterSum, parameters: readonly Parameter[]): SumWatch {
    const watch = super.watch(sum, parameters);
    this.#watches.push(watch);
    return watch;
  }

  override step(): void {
    this.now++;
    this.#measuring = this.#watches.filter(({ isRequested }) => isRequested);
    for (const watch of this.#measuring) watch.endRequest();
  }

  override async report(): Promise<StepReport> {
    const step = this.now;
    this.reports++;
    const found = new Map<Parameter, number>();
    for (const parameter of this.parameters) {
      const sum = parameter.isFrozen ? null : this.script(step, parameter.name);
      if (sum !== null) found.set(parameter, sum);
    }
    const sums = new Map<SumWatch, ReadonlyMap<Parameter, number>>();
    for (const watch of this.#measuring) {
      sums.set(watch, new Map([...found].filter(([parameter]) => watch.parameters.has(parameter))));
    }
    if (this.delay > 0) await new Promise((resolve) => setTimeout(resolve, this.delay));
    return { step, loss: this.lossOf(step), gradientNorm: 1, squares: found, sums };
  }
}

/** What `GradES` and the rules of the paper have in common. */
export interface WatchingRule extends Required<Omit<Policy, 'betweenSteps'>> {
  readonly watched: readonly RegistryEntry[];
  readonly frozenCount: number;
  readonly threshold: number;
  onCheck(listener: (check: Check) => void): () => void;
}

export type RuleClass<Rule, Options> = new (
  registry: ParameterRegistry,
  optimizer: Optimizer,
  options: Options,
) => Rule;

/** A rule playing on a script. */
export class Play<Rule extends WatchingRule, Options> {
  readonly registry: ParameterRegistry;
  readonly optimizer: ScriptedOptimizer;
  readonly policy: Rule;
  readonly checks: Check[] = [];
  readonly #made: readonly [RuleClass<Rule, Options>, Script, Options, TinyOptions];

  constructor(rule: RuleClass<Rule, Options>, script: Script, options: Options, config: TinyOptions = {}) {
    this.#made = [rule, script, options, config];
    const model = tinyModel(cpu, config);
    this.registry = new ParameterRegistry(model);
    this.optimizer = releaseLater(new ScriptedOptimizer(model.parameters(), script));
    this.policy = new rule(this.registry, this.optimizer, options);
    this.policy.onCheck((check) => this.checks.push(check));
  }

  async run(to: number): Promise<this> {
    while (this.optimizer.now < to) {
      this.policy.beforeStep(this.optimizer.now + 1);
      this.optimizer.step();
      await this.policy.afterStep(this.optimizer.now);
    }
    return this;
  }

  /** The same play on a new model and a new rule, from where this one stands, by its saved state. */
  async fork(): Promise<Play<Rule, Options>> {
    const other = new Play(...this.#made);
    other.registry.restore(this.registry.state());
    await other.policy.restore(await this.policy.state());
    other.optimizer.now = this.optimizer.now;
    other.optimizer.delay = this.optimizer.delay;
    other.checks.push(...this.checks);
    return other;
  }

  get freezes(): [string, number][] {
    return this.registry.events.filter(({ type }) => type === 'freeze').map(({ name, step }) => [name, step]);
  }

  get freezeSteps(): number[] {
    return this.freezes.map(([, step]) => step);
  }
}
