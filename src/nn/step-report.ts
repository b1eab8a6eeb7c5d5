/** What one step came to: the norm of its gradients, its loss, and the sums that somebody watches, read back in one piece. */
import { gradientOf, halvesOf, halvesWereSummed } from '../autograd/leaf-gradient.ts';
import { copyInto, fill } from '../tensor/copy.ts';
import { full, zeros } from '../tensor/create.ts';
import { dispatch } from '../tensor/dispatch.ts';
import { ArgumentError, NonFiniteGradientError } from '../tensor/errors.ts';
import { kernel } from '../tensor/kernel.ts';
import { scope } from '../tensor/scope.ts';
import { dense, type Tensor } from '../tensor/tensor.ts';
import type { Parameter } from './parameter.ts';
import { maxGroups, measure, type ParameterSum, rowWidth, shrink } from './parameter-sum.ts';
import { SumWatch } from './sum-watch.ts';

/** What one step came to. */
export interface StepReport {
  /** Number of the step, from 1. */
  step: number;
  /** The loss handed to `optimizer.step(loss)`; NaN if none was. */
  loss: number;
  /** Norm of all gradients together, before clipping. */
  gradientNorm: number;
  /** Σ g² before clipping, of every parameter that had a gradient in this step and is not frozen. */
  squares: ReadonlyMap<Parameter, number>;
  /** What each watch had measured in this step, by parameter. */
  sums: ReadonlyMap<SumWatch, ReadonlyMap<Parameter, number>>;
}

const reportKernel = kernel({
  name: 'step-report',
  operands: { partials: 'read', loss: 'read', report: 'update' },
  scalars: { rows: 'u32', step: 'u32', keepsHead: 'u32', maxNorm: 'f32' },
  overflows: ['report'],
  wgsl: { file: 'step_report', constants: { MAX_GROUPS: `${maxGroups}u` } },
  reference({ partials, loss, report }, { rows, step, keepsHead, maxNorm }) {
    let [squares, shrunk, skip] = [0, 0, 0];
    for (let row = 0; row < rows; row++) {
      const found = [0, 0, 0, 0];
      for (let i = 0; i < maxGroups * rowWidth; i++) found[i % rowWidth] += partials[row * maxGroups * rowWidth + i];
      const firstBad = report[rowWidth * (row + 1) + 2];
      const badSince = firstBad === 0 && found[2] > 0 ? step : firstBad;
      report.set([found[0], found[1], badSince, found[3]], rowWidth * (row + 1));
      squares += found[1];
      shrunk += found[3];
      if (badSince > 0) skip = 1;
    }
    if (keepsHead === 1) return;
    const norm = Number.isFinite(squares) ? Math.sqrt(squares) : Math.sqrt(shrunk) / shrink;
    const scale = maxNorm > 0 && norm > maxNorm ? maxNorm / norm : 1;
    report.set([scale, skip, norm, loss[0]], 0);
  },
});

/** A gradient, dense, and the passes over it. */
interface PlannedGradient {
  readonly parameter: Parameter;
  readonly values: Tensor;
  readonly inHalves: boolean;
  readonly row: number;
  readonly passes: readonly {
    watch: SumWatch;
    isMeasured: boolean;
    companion: Tensor | null;
    storesCompanion: boolean;
    isSumOnly: boolean;
    row: number;
  }[];
}

/**
 * Measures the gradients of a step in one pass over each: what clipping needs, what tells a broken gradient, and the
 * sums that are watched. All of it stays on the device, in one small tensor; `read` brings that back in one piece.
 */
export class StepReporter {
  readonly #rows: ReadonlyMap<Parameter, number>;
  /** Row 0: (scale, skip, norm, loss), which the optimizer's kernels read; one row for each parameter; then the extra ones, of sums that no pass over a gradient computes beside others. */
  #report: Tensor;
  #partials: Tensor;
  readonly #noLoss: Tensor;
  /** Bound where a kernel has nothing to read or write. */
  readonly #nothing: Tensor;
  readonly #watches = new Set<SumWatch>();
  /** Given out in this step, so that a step counts the same operations after a restart. */
  #extraRows = 0;
  /** Parameters whose rows hold the sums of a gradient. */
  readonly #measured = new Set<Parameter>();
  /** Row of each sum that was measured in this step. */
  #places: { watch: SumWatch; parameter: Parameter; row: number }[] = [];
  #step = 0;
  #reading: Promise<StepReport> | null = null;
  readonly #stopListening: (() => void)[];

  constructor(parameters: readonly Parameter[]) {
    const { device, dtype } = parameters[0];
    this.#rows = new Map(parameters.map((parameter, row) => [parameter, row]));
    this.#report = persistent(zeros([1 + parameters.length, rowWidth], { device, dtype }));
    this.#partials = persistent(zeros([parameters.length, maxGroups, rowWidth], { device, dtype }));
    this.#noLoss = persistent(full([], Number.NaN, { device, dtype }));
    this.#nothing = persistent(zeros([1], { device, dtype }));
    this.#stopListening = parameters.map((each) => each.onFreezeChange((changed) => this.#clear(changed)));
  }

  /** Holds the factor of clipping and the flag to skip, for the optimizer's kernels. */
  get report(): Tensor {
    return this.#report;
  }

  /** @throws ArgumentError for parameters the optimizer does not train. */
  watch(sum: ParameterSum, parameters: readonly Parameter[]): SumWatch {
    const stranger = parameters.find((parameter) => !this.#rows.has(parameter));
    if (stranger) {
      throw new ArgumentError(`watch: the optimizer does not train ${stranger.name}, so ${sum.name} cannot be summed`);
    }
    const watch = new SumWatch(sum, parameters, (ended) => this.#watches.delete(ended));
    this.#watches.add(watch);
    return watch;
  }

  /**
   * Measures every gradient there is. A parameter that has none in this step, or is frozen, counts as 0. All memory that this, the
   * updates and `finish` need is taken before anything changes.
   *
   * @returns the gradients, whole and dense, of the parameters that have one; they go with the scope they are made in.
   */
  measure(step: number, loss: Tensor | null, maxNorm: number): ReadonlyMap<Parameter, Tensor> {
    const denseLoss = loss && dense(loss);
    this.#extraRows = 0;
    const planned = [...this.#rows].flatMap(([parameter, row]) => this.#planned(parameter, row, step));
    this.#reserve(this.#extraRows + this.#requestedChanges().length);
    this.#step = step;
    this.#reading = null;
    this.#places = [];
    const gradients = new Map(planned.map((plan) => [plan.parameter, this.#measureGradient(plan)]));
    for (const parameter of this.#rows.keys()) if (!gradients.has(parameter)) this.#clearSums(parameter);
    this.#reduce(denseLoss, maxNorm, false);
    return gradients;
  }

  /** Measures what an update changed, once every parameter is updated. */
  finish(): void {
    const changes = this.#requestedChanges();
    for (const { watch, parameter, companion } of changes) {
      const row = this.#extraRow();
      const pass = { values: parameter, formula: watch.sum, companion, inHalves: false, row };
      this.#pass(parameter, { ...pass, storesCompanion: true, isSumOnly: true });
      this.#places.push({ watch, parameter, row });
    }
    for (const watch of this.#watches) watch.endRequest();
    if (changes.length > 0) this.#reduce(null, 0, true);
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
    const [step, places, measured] = [this.#step, this.#places, new Set(this.#measured)];
    const data = await this.#report.data();
    const squares = new Map<Parameter, number>();
    let firstBad: { name: string; step: number } | null = null;
    for (const [parameter, row] of this.#rows) {
      const [, square, badSince, shrunk] = data.subarray(rowWidth * (row + 1));
      if (badSince > 0 && badSince < (firstBad?.step ?? Number.POSITIVE_INFINITY)) {
        firstBad = { name: parameter.name, step: badSince };
      }
      if (!parameter.isFrozen && measured.has(parameter)) {
        squares.set(parameter, Number.isFinite(square) ? square : shrunk / shrink ** 2);
      }
    }
    if (firstBad) throw new NonFiniteGradientError(firstBad.name, firstBad.step);
    const sums = new Map<SumWatch, Map<Parameter, number>>();
    for (const { watch, parameter, row } of places) {
      if (parameter.isFrozen) continue;
      const ofWatch = sums.get(watch) ?? new Map<Parameter, number>();
      sums.set(watch, ofWatch.set(parameter, data[rowWidth * (row + 1)]));
    }
    return { step, loss: data[3], gradientNorm: data[2], squares, sums };
  }

  /** Puts the place of a checkpoint: no gradient counts as broken any more. */
  restore(step: number): void {
    this.#step = step;
    this.#reading = null;
    this.#measured.clear();
    this.#places = [];
    fill(this.#report, 0);
    fill(this.#partials, 0);
  }

  release(): void {
    for (const stop of this.#stopListening) stop();
    for (const watch of [...this.#watches]) watch.release();
    for (const tensor of [this.#report, this.#partials, this.#noLoss, this.#nothing]) {
      tensor.release('its optimizer was released');
    }
  }

  /** What a gradient is to be measured for, and where; nothing is changed by it but that there is room. */
  #planned(parameter: Parameter, row: number, step: number): PlannedGradient[] {
    const halves = parameter.isFrozen ? null : halvesOf(parameter);
    const gradient = halves ?? (parameter.isFrozen ? null : gradientOf(parameter));
    if (!gradient) return [];
    const inHalves = halves !== null;
    const wanted = [...this.#watches].flatMap((watch) => {
      const isWanted = watch.parameters.has(parameter) && watch.sum.over !== 'weights-before';
      const plan = isWanted ? watch.planOver(parameter, step, inHalves) : null;
      return plan ? [{ watch, ...plan }] : [];
    });
    // The last pass is the one that sums the halves, so it comes after those that read them.
    const passes = wanted.map((plan, i) => {
      const isLast = i === wanted.length - 1;
      return { ...plan, isSumOnly: !isLast, row: isLast ? row : this.#extraRow() };
    });
    return [{ parameter, values: dense(gradient), inHalves, row, passes }];
  }

  /** @returns the gradient as a whole. */
  #measureGradient({ parameter, values, inHalves, row, passes }: PlannedGradient): Tensor {
    this.#measured.add(parameter);
    for (const { watch, isMeasured, ...plan } of passes) {
      this.#pass(parameter, { values, inHalves, formula: isMeasured ? watch.sum : null, ...plan });
      if (plan.storesCompanion) watch.stored(parameter, this.#step);
      if (isMeasured) this.#places.push({ watch, parameter, row: plan.row });
    }
    if (passes.length === 0) {
      const plain = { formula: null, companion: null, storesCompanion: false, isSumOnly: false };
      this.#pass(parameter, { values, inHalves, row, ...plain });
    }
    return inHalves ? halvesWereSummed(parameter, values) : values;
  }

  /** The weights whose change is to be measured by this step. */
  #requestedChanges(): { watch: SumWatch; parameter: Parameter; companion: Tensor }[] {
    return [...this.#watches].flatMap((watch) => {
      if (!watch.isRequested || watch.sum.over !== 'weights-before') return [];
      return [...watch.parameters].flatMap((parameter) => {
        const companion = parameter.isFrozen ? null : watch.companionOf(parameter);
        return companion ? [{ watch, parameter, companion }] : [];
      });
    });
  }

  #pass(
    { size: count }: { size: number },
    pass: Omit<Parameters<typeof measure>[0], 'count' | 'partials' | 'nothing'>,
  ) {
    measure({ ...pass, count, partials: this.#partials, nothing: this.#nothing });
  }

  #reduce(loss: Tensor | null, maxNorm: number, keepsHead: boolean): void {
    const rows = this.#rows.size + this.#extraRows;
    scope('report', () =>
      dispatch(reportKernel, {
        operands: { partials: this.#partials, loss: loss ?? this.#noLoss, report: this.#report },
        scalars: { rows, step: this.#step, keepsHead: keepsHead ? 1 : 0, maxNorm },
        workgroups: [1, 1, 1],
        flops: rowWidth * rows * maxGroups,
      }),
    );
  }

  /** A row beyond those of the parameters. */
  #extraRow(): number {
    return this.#rows.size + this.#extraRows++;
  }

  #reserve(extraRows: number): void {
    const rows = this.#rows.size + extraRows;
    const grown = (old: Tensor, shape: readonly number[]): Tensor => {
      if (old.shape[0] >= shape[0]) return old;
      const larger = persistent(zeros(shape, { device: old.device, dtype: old.dtype }));
      copyInto(old, larger, larger.strides);
      old.release('more is summed now');
      return larger;
    };
    this.#report = grown(this.#report, [1 + rows, rowWidth]);
    this.#partials = grown(this.#partials, [rows, maxGroups, rowWidth]);
  }

  /** What was measured of this parameter counts no longer. */
  #clear(parameter: Parameter): void {
    this.#clearSums(parameter);
    for (const watch of this.#watches) watch.follow(parameter);
  }

  #clearSums(parameter: Parameter): void {
    const row = this.#rows.get(parameter);
    if (row === undefined || !this.#measured.delete(parameter)) return;
    const none = { formula: null, companion: null, storesCompanion: false, isSumOnly: false, inHalves: false };
    this.#pass({ size: 0 }, { values: this.#noLoss, row, ...none });
  }
}

function persistent(made: Tensor): Tensor {
  made.persist();
  return made;
}
