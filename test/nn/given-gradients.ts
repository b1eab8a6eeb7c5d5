/** Parameters whose gradients are known to the last bit, for the suites of what is summed over them. */
import {
  AdamW,
  backward,
  type Device,
  type DType,
  matmul,
  mul,
  type Optimizer,
  Parameter,
  Random,
  SGD,
  type StepReport,
  step,
  sum,
  type Tensor,
  tensor,
  uniform,
} from '../../src/index.ts';
import { releaseLater } from './tiny.ts';

export const optimizers = {
  AdamW: (parameters) => new AdamW(parameters, { learningRate: 0.01, weightDecay: 0.1, maxGradientNorm: 0.5 }),
  SGD: (parameters) => new SGD(parameters, { learningRate: 0.01, weightDecay: 0.1, momentum: 0.9 }),
} as const satisfies Record<string, (parameters: readonly Parameter[]) => Optimizer>;

// One element; several workgroups of an update; several of the sums, and not a multiple of either.
export const sizes = [1, 1500, 9001];

type Numbers = Float64Array;

/** What one step was for one parameter: its gradient, that of each half of the batch, the weights before and after. */
export interface RecordedStep {
  gradient: Numbers;
  halves: readonly [Numbers, Numbers];
  before: Numbers;
  after: Numbers;
}

/** Two samples, by powers of two, so that the gradient of each is exact. */
const samples = [1, -0.5] as const;

export class GivenGradients {
  readonly parameters: Parameter[];
  readonly optimizer: Optimizer;
  readonly device: Device;
  readonly #dtype: DType;
  readonly #random = new Random(5);

  constructor(
    device: Device,
    kind: keyof typeof optimizers,
    { sizes, dtype = 'f32' }: { sizes: readonly number[]; dtype?: DType },
  ) {
    this.device = device;
    this.#dtype = dtype;
    this.parameters = sizes.map((size, i) => {
      const made = releaseLater(new Parameter(uniform([1, size], { device, dtype, random: this.#random }), 'weight'));
      made.rename(`p${i}`);
      return made;
    });
    this.optimizer = releaseLater(optimizers[kind](this.parameters));
  }

  /** One step with random gradients. */
  async step(trained: readonly Parameter[] = this.parameters): Promise<{
    report: StepReport;
    recorded: ReadonlyMap<Parameter, RecordedStep>;
  }> {
    const { device } = this;
    const dtype = this.#dtype;
    const weights = () => Promise.all(this.parameters.map(async (each) => Float64Array.from(await each.data())));
    const before = await weights();
    const halves = new Map<Parameter, [Numbers, Numbers]>();
    await step(async () => {
      let loss: Tensor = tensor(0, { device, dtype });
      for (const parameter of trained) {
        const { size } = parameter;
        const factors = uniform([2, 1, size], { device, dtype, random: this.#random, low: -1 });
        const x = tensor(Float64Array.from(samples), { device, dtype, shape: [2, 1, 1] });
        loss = loss.add(sum(mul(matmul(x, parameter), factors)));
        const values = Float64Array.from(await factors.data());
        const half = (i: 0 | 1) => values.subarray(i * size, (i + 1) * size).map((value) => samples[i] * value);
        halves.set(parameter, [half(0), half(1)]);
      }
      backward(loss);
      this.optimizer.step(loss);
    });
    const report = await this.optimizer.report();
    const after = await weights();
    const recorded = new Map<Parameter, RecordedStep>();
    for (const [i, parameter] of this.parameters.entries()) {
      const parts = halves.get(parameter);
      if (!parts) continue;
      const gradient = parts[0].map((value, k) => value + parts[1][k]);
      recorded.set(parameter, { gradient, halves: parts, before: before[i], after: after[i] });
    }
    return { report, recorded };
  }
}

/** Σ of a function of two numbers, in a plain loop. */
export function plainSum(
  formula: (x: number, y: number) => number,
  x: ArrayLike<number>,
  y: ArrayLike<number> = new Float64Array(x.length),
): number {
  let total = 0;
  for (let i = 0; i < x.length; i++) total += formula(x[i], y[i]);
  return total;
}
