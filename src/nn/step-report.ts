import { gradientOf, halvesOf } from '../autograd/node.ts';
import { dense } from '../tensor/copy.ts';
import { full, zeros } from '../tensor/create.ts';
import { NonFiniteGradientError } from '../tensor/errors.ts';
import { dispatch, type Kernel } from '../tensor/kernel.ts';
import { scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Parameter } from './parameter.ts';

/** Sums over the gradient of one parameter, before clipping. */
export interface GradientSums {
  /** Σ |g|. */
  absolute: number;
  /** Σ g². */
  squares: number;
  /** Σ gA · gB over the halves of the batch; null where they were not asked for. */
  halvesProduct: number | null;
}

/** What one step came to, read back in one piece. */
export interface StepReport {
  /** Number of the step, from 1. */
  step: number;
  /** The loss handed to `optimizer.step(loss)`; NaN if none was. */
  loss: number;
  /** Norm of all gradients together, before clipping. */
  gradientNorm: number;
  /** Of every parameter that had a gradient in this step and is not frozen. */
  gradients: ReadonlyMap<Parameter, GradientSums>;
}

const maxGroups = 64;
const elementsPerGroup = 4096;

const statisticsKernel: Kernel<'count' | 'row' | 'groups' | 'useHalves'> = {
  name: 'gradient-statistics',
  operands: ['read', 'read', 'update'],
  scalars: { count: 'u32', row: 'u32', groups: 'u32', useHalves: 'u32' },
  wgsl: { file: 'gradient_statistics', constants: { MAX_GROUPS: `${maxGroups}u` } },
  reference([gradient, halves, partials], { count, row, useHalves }) {
    let [absolute, squares, product, bad] = [0, 0, 0, 0];
    for (let i = 0; i < count; i++) {
      const g = gradient[i];
      if (!Number.isFinite(g)) bad++;
      else {
        absolute += Math.abs(g);
        squares += g * g;
      }
      if (useHalves === 1) product += halves[i] * halves[i + count];
    }
    const start = row * maxGroups * 4;
    partials.fill(0, start, start + maxGroups * 4);
    partials.set([absolute, squares, product, bad], start);
  },
};

const reportKernel: Kernel<'rows' | 'step' | 'maxNorm'> = {
  name: 'step-report',
  operands: ['read', 'read', 'update'],
  scalars: { rows: 'u32', step: 'u32', maxNorm: 'f32' },
  wgsl: { file: 'step_report', constants: { MAX_GROUPS: `${maxGroups}u` } },
  reference([partials, loss, report], { rows, step, maxNorm }) {
    let squares = 0;
    let skip = 0;
    for (let row = 0; row < rows; row++) {
      const found = [0, 0, 0, 0];
      for (let i = 0; i < maxGroups * 4; i++) found[i % 4] += partials[row * maxGroups * 4 + i];
      const firstBad = report[4 * (row + 1) + 3];
      const badNow = found[3] > 0 || !Number.isFinite(found[1]);
      const badSince = firstBad === 0 && badNow ? step : firstBad;
      report.set([found[0], found[1], found[2], badSince], 4 * (row + 1));
      squares += found[1];
      if (badSince > 0) skip = 1;
    }
    const norm = Math.sqrt(squares);
    const scale = maxNorm > 0 && norm > maxNorm ? maxNorm / norm : 1;
    report.set([scale, skip, norm, loss[0]], 0);
  },
};

/**
 * Measures the gradients of a step in one pass over each: what clipping needs, what tells a broken gradient, and the
 * sums that GradES watches. All of it stays on the device, in one small tensor; `read` brings that back in one piece.
 */
export class StepReporter {
  /** Row 0: (scale, skip, norm, loss), which the optimizer's kernels read; then one row for each parameter. */
  readonly report: Tensor;
  readonly #partials: Tensor;
  readonly #rows: ReadonlyMap<Parameter, number>;
  readonly #noLoss: Tensor;
  /** Parameters whose rows hold the sums of a gradient, and those of them measured in halves. */
  readonly #measured = new Set<Parameter>();
  #halves = new Set<Parameter>();
  #step = 0;
  #reading: Promise<StepReport> | null = null;
  readonly #stopListening: (() => void)[];

  constructor(parameters: readonly Parameter[]) {
    const { device, dtype } = parameters[0];
    this.#rows = new Map(parameters.map((parameter, row) => [parameter, row]));
    this.report = zeros([1 + parameters.length, 4], { device, dtype });
    this.#partials = zeros([parameters.length, maxGroups, 4], { device, dtype });
    this.#noLoss = full([], Number.NaN, { device, dtype });
    for (const tensor of [this.report, this.#partials, this.#noLoss]) tensor.persist();
    this.#stopListening = parameters.map((each) => each.onFreezeChange((changed) => this.#clear(changed)));
  }

  /** Measures every gradient there is. A parameter that has none in this step, or is frozen, counts as 0. */
  measure(step: number, loss: Tensor | null, maxNorm: number): void {
    this.#step = step;
    this.#reading = null;
    this.#halves = new Set();
    for (const [parameter, row] of this.#rows) {
      const gradient = gradientOf(parameter);
      if (gradient) this.#measureOne(parameter, gradient, row);
      else this.#clear(parameter);
    }
    const rows = this.#rows.size;
    scope('report', () =>
      dispatch(reportKernel, {
        operands: [this.#partials, loss ? dense(loss) : this.#noLoss, this.report],
        scalars: { rows, step, maxNorm },
        workgroups: [1, 1, 1],
        flops: 4 * rows * maxGroups,
      }),
    );
  }

  /**
   * Reads the report of the last step: once, however often it is asked for. The copy is made at once; the promise
   * resolves when the device is there.
   *
   * @throws NonFiniteGradientError if a gradient was NaN or infinite, in this step or one before.
   */
  read(): Promise<StepReport> {
    this.#reading ??= this.#read();
    return this.#reading;
  }

  async #read(): Promise<StepReport> {
    const step = this.#step;
    const halves = this.#halves;
    const measured = new Set(this.#measured);
    const data = await this.report.data();
    const gradients = new Map<Parameter, GradientSums>();
    let firstBad: { name: string; step: number } | null = null;
    for (const [parameter, row] of this.#rows) {
      const [absolute, squares, product, badSince] = data.subarray(4 * (row + 1), 4 * (row + 2));
      if (badSince > 0 && badSince < (firstBad?.step ?? Number.POSITIVE_INFINITY)) {
        firstBad = { name: parameter.name, step: badSince };
      }
      if (parameter.isFrozen || !measured.has(parameter)) continue;
      gradients.set(parameter, { absolute, squares, halvesProduct: halves.has(parameter) ? product : null });
    }
    if (firstBad) throw new NonFiniteGradientError(firstBad.name, firstBad.step);
    return { step, loss: data[3], gradientNorm: data[2], gradients };
  }

  release(): void {
    for (const stop of this.#stopListening) stop();
    for (const tensor of [this.report, this.#partials, this.#noLoss]) tensor.release('its optimizer was released');
  }

  #measureOne(parameter: Parameter, gradient: Tensor, row: number): void {
    const halves = halvesOf(parameter);
    this.#measured.add(parameter);
    if (halves) this.#halves.add(parameter);
    scope('statistics', () => this.#sum(dense(gradient), halves ? dense(halves) : null, gradient.size, row));
  }

  /** What was measured of this parameter counts no longer. */
  #clear(parameter: Parameter): void {
    const row = this.#rows.get(parameter);
    if (row !== undefined && this.#measured.delete(parameter)) this.#sum(this.#noLoss, null, 0, row);
  }

  #sum(gradient: Tensor, halves: Tensor | null, count: number, row: number): void {
    const groups = Math.max(1, Math.min(maxGroups, Math.ceil(count / elementsPerGroup)));
    dispatch(statisticsKernel, {
      operands: [gradient, halves ?? gradient, this.#partials],
      scalars: { count, row, groups, useHalves: halves ? 1 : 0 },
      workgroups: [groups, 1, 1],
      flops: (halves ? 5 : 3) * count,
    });
  }
}
