/** GradES on gradients that are written beforehand. */
import {
  GradES,
  type GradESOptions,
  type GradientSums,
  type Parameter,
  ParameterRegistry,
  SGD,
  type StepReport,
} from '../../src/index.ts';
import { cpu } from '../devices.ts';
import { releaseLater, type TinyOptions, tinyModel } from '../nn/tiny.ts';

const silentSums = { absolute: 1, squares: 1, halvesProduct: null, gradientChange: null, weightChange: null };

/** Σ |g| as it stands, where one low value is enough: the paper's first version. */
export const magnitude = { quantity: 'gradient', scale: 'sum', horizon: 0, patience: 0, spacing: 0 } as const;
/** Sums to report for a parameter at a step; null where it has no gradient. */
export type Script = (step: number, name: string) => Partial<GradientSums> | null;

/** An optimizer whose reports are written beforehand. */
export class ScriptedOptimizer extends SGD {
  readonly script: Script;
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

  override async report(): Promise<StepReport> {
    const step = this.now;
    this.reports++;
    const gradients = new Map<Parameter, GradientSums>();
    for (const parameter of this.parameters) {
      const sums = parameter.isFrozen ? null : this.script(step, parameter.name);
      if (sums) gradients.set(parameter, { ...silentSums, ...sums });
    }
    if (this.delay > 0) await new Promise((resolve) => setTimeout(resolve, this.delay));
    return { step, loss: this.lossOf(step), gradientNorm: 1, gradients };
  }
}

export class Play {
  readonly registry: ParameterRegistry;
  readonly optimizer: ScriptedOptimizer;
  readonly policy: GradES;

  constructor(script: Script, options: GradESOptions, config: TinyOptions = {}) {
    const model = tinyModel(cpu, config);
    this.registry = new ParameterRegistry(model);
    this.optimizer = releaseLater(new ScriptedOptimizer(model.parameters(), script));
    this.policy = new GradES(this.registry, this.optimizer, options);
  }

  async run(to: number): Promise<this> {
    while (this.optimizer.now < to) {
      this.optimizer.now++;
      this.policy.beforeStep(this.optimizer.now);
      await this.policy.afterStep(this.optimizer.now);
    }
    return this;
  }

  get freezes(): [string, number][] {
    return this.registry.events.filter(({ type }) => type === 'freeze').map(({ name, step }) => [name, step]);
  }

  get freezeSteps(): number[] {
    return this.freezes.map(([, step]) => step);
  }
}
