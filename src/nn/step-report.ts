import { gradientOf, halvesOf, halvesWereSummed } from '../autograd/leaf-gradient.ts';
import { copyInto, fill } from '../tensor/copy.ts';
import { full, tensor, zeros } from '../tensor/create.ts';
import { dispatch } from '../tensor/dispatch.ts';
import type { NumericArray } from '../tensor/dtype.ts';
import { ArgumentError, NonFiniteGradientError } from '../tensor/errors.ts';
import { byWidth, elementwise, flatWorkgroups, kernel } from '../tensor/kernel.ts';
import { scope } from '../tensor/scope.ts';
import { copy, dense, type Tensor } from '../tensor/tensor.ts';
import type { Parameter } from './parameter.ts';

/** Sums over the gradient of one parameter, before clipping. */
export interface GradientSums {
  /** Σ |g|. */
  absolute: number;
  /** Σ g². */
  squares: number;
  /** Σ gA · gB over the halves of the batch; null where they were not asked for. */
  halvesProduct: number | null;
  /** Σ |g - g of the step before|; null where it is not watched, and where there is no step before. */
  gradientChange: number | null;
  /** Σ |w - w before|, what the update did to the parameter, decay included; null where it is not watched or not due. */
  weightChange: number | null;
}

/** What is summed only for the parameters it is asked for. */
export type WatchedChange = 'gradientChange' | 'weightChange';

/** What one step came to, read back in one piece. */
export interface StepReport {
  /** Number of the step, from 1. */
  step: number;
  /** The loss handed to `optimizer.step(loss)`; NaN if none was. */
  loss: number;
  /** Norm of all gradients together, before clipping. */
  gradientNorm: number;
  /** Of every parameter that had a gradient in this step and is not frozen, or was probed; the squares of those are 0. */
  gradients: ReadonlyMap<Parameter, GradientSums>;
}

const maxGroups = 64;
const elementsPerGroup = 4096;

/** What the statistics do with the gradient of the step before. */
const previousUse = { none: 0, store: 1, compareAndStore: 2 } as const;

const statisticsKernel = byWidth({
  name: 'gradient-statistics',
  operands: { gradient: 'update', previous: 'update', partials: 'update' },
  scalars: { count: 'u32', row: 'u32', groups: 'u32', useHalves: 'u32', usePrevious: 'u32', isProbe: 'u32' },
  wgsl: { file: 'gradient_statistics', constants: { MAX_GROUPS: `${maxGroups}u` } },
  reference({ gradient, previous, partials }, { count, row, useHalves, usePrevious, isProbe }) {
    let [absolute, squares, product, bad, change] = [0, 0, 0, 0, 0];
    for (let i = 0; i < count; i++) {
      if (useHalves === 1) {
        product += gradient[i] * gradient[i + count];
        gradient[i] += gradient[i + count];
      }
      const g = gradient[i];
      if (!Number.isFinite(g)) bad++;
      else {
        absolute += Math.abs(g);
        squares += g * g;
      }
      if (usePrevious === previousUse.compareAndStore) change += Math.abs(g - previous[i]);
      if (usePrevious !== previousUse.none) previous[i] = g;
    }
    if (isProbe === 1) [squares, bad] = [0, 0];
    const start = row * maxGroups * 8;
    partials.fill(0, start, start + maxGroups * 8);
    partials.set([absolute, squares, product, bad, change], start);
  },
  simd(call) {
    const { row, isProbe } = call.scalars;
    const sums = call.address('partials') + 4 * row * maxGroups * 8;
    call.fill(sums, 4 * maxGroups * 8);
    call.run('gradientStatistics', { sums });
    // Squares and the count of what is not finite.
    if (isProbe === 1) for (const place of [1, 3]) call.fill(sums + 4 * place, 4);
    return true;
  },
});

const reportKernel = kernel({
  name: 'step-report',
  operands: { partials: 'read', loss: 'read', report: 'update' },
  scalars: { rows: 'u32', step: 'u32', maxNorm: 'f32' },
  wgsl: { file: 'step_report', constants: { MAX_GROUPS: `${maxGroups}u` } },
  reference({ partials, loss, report }, { rows, step, maxNorm }) {
    let squares = 0;
    let skip = 0;
    for (let row = 0; row < rows; row++) {
      const found = [0, 0, 0, 0, 0, 0, 0, 0];
      for (let i = 0; i < maxGroups * 8; i++) found[i % 8] += partials[row * maxGroups * 8 + i];
      const firstBad = report[4 * (row + 1) + 3];
      const badNow = found[3] > 0 || !Number.isFinite(found[1]);
      const badSince = firstBad === 0 && badNow ? step : firstBad;
      report.set([found[0], found[1], found[2], badSince], 4 * (row + 1));
      report.set([found[4], 0, 0, 0], 4 * (1 + rows + row));
      squares += found[1];
      if (badSince > 0) skip = 1;
    }
    const norm = Math.sqrt(squares);
    const scale = maxNorm > 0 && norm > maxNorm ? maxNorm / norm : 1;
    report.set([scale, skip, norm, loss[0]], 0);
  },
});

/** Sums the changes that the workgroups of the updates left: report[1 + rows + row].y. */
const weightChangeKernel = kernel({
  name: 'weight-change',
  operands: { partials: 'read', ranges: 'read', report: 'update' },
  scalars: { rows: 'u32' },
  wgsl: { file: 'weight_change' },
  reference({ partials, ranges, report }, { rows }) {
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      for (let i = 0; i < ranges[2 * row + 1]; i++) sum += partials[ranges[2 * row] + i];
      report[4 * (1 + rows + row) + 1] = sum;
    }
  },
});

/** Σ |value - copy| of each workgroup's share, and the copy brought up to date. */
const copyChangeKernel = kernel({
  name: 'copy-change',
  operands: { value: 'read', copy: 'update', partials: 'update' },
  scalars: { count: 'u32', partialsStart: 'u32' },
  wgsl: { file: 'copy_change', constants: elementwise.constants },
  reference({ value, copy, partials }, { count, partialsStart }) {
    let sum = 0;
    for (let i = 0; i < count; i++) {
      sum += Math.abs(value[i] - copy[i]);
      copy[i] = value[i];
    }
    partials.fill(0, partialsStart, partialsStart + updateGroups(count));
    partials[partialsStart] = sum;
  },
});

/** Workgroups of an update kernel over `count` elements; each leaves one partial sum of the change. */
function updateGroups(count: number): number {
  const [x, y] = flatWorkgroups(count, elementwise.elementsPerGroup);
  return x * y;
}

/** The gradient of the step before, kept for its change. */
interface PreviousGradient {
  tensor: Tensor;
  /** The step it is of; 0 before the first. */
  step: number;
}

/** How the change of one parameter's values is taken. */
interface WeightWatch {
  /** Where its partial sums begin. */
  partialsStart: number;
  /** Steps over which the change is taken. */
  every: number;
  /** Values at the last time it was taken; null where the update itself sums what it does in one step. */
  copy: Tensor | null;
}

/**
 * Measures the gradients of a step in one pass over each: what clipping needs, what tells a broken gradient, and the
 * sums that GradES watches. All of it stays on the device, in one small tensor; `read` brings that back in one piece.
 */
export class StepReporter {
  /**
   * Row 0: (scale, skip, norm, loss), which the optimizer's kernels read; then one row for each parameter, and one more
   * for the changes of each.
   */
  readonly report: Tensor;
  readonly #partials: Tensor;
  readonly #rows: ReadonlyMap<Parameter, number>;
  readonly #noLoss: Tensor;
  /** Bound where a kernel has nothing to write. */
  readonly #nothing: Tensor;
  /** Parameters whose rows hold the sums of a gradient, and those of them with halves and with a step before. */
  readonly #measured = new Set<Parameter>();
  #halves = new Set<Parameter>();
  #changed = new Set<Parameter>();
  /** Frozen parameters that were looked at in this step. */
  #probed = new Set<Parameter>();
  readonly #previous = new Map<Parameter, PreviousGradient>();
  readonly #weights = new Map<Parameter, WeightWatch>();
  /** Those whose update of this step was summed. */
  #moved = new Set<Parameter>();
  /** Partial sums of the updates, and for each row where they begin and how many they are; null where none is watched. */
  #weightPartials: { partials: Tensor; ranges: Tensor } | null = null;
  #step = 0;
  #reading: Promise<StepReport> | null = null;
  readonly #stopListening: (() => void)[];

  constructor(parameters: readonly Parameter[]) {
    const { device, dtype } = parameters[0];
    this.#rows = new Map(parameters.map((parameter, row) => [parameter, row]));
    this.report = zeros([1 + 2 * parameters.length, 4], { device, dtype });
    this.#partials = zeros([parameters.length, maxGroups, 8], { device, dtype });
    this.#noLoss = full([], Number.NaN, { device, dtype });
    this.#nothing = zeros([1], { device, dtype });
    for (const tensor of [this.report, this.#partials, this.#noLoss, this.#nothing]) tensor.persist();
    this.#stopListening = parameters.map((each) => each.onFreezeChange((changed) => this.#clear(changed)));
  }

  /**
   * Sums a change for these parameters from the next step on. A change of the gradient needs a copy of the gradient
   * before; a change of the values is summed by the update itself, except over several steps, which needs a copy of them.
   *
   * @param every steps over which a change of the values is taken, counted by the optimizer's steps.
   */
  watch(what: WatchedChange, parameters: readonly Parameter[], every = 1): void {
    for (const parameter of parameters) {
      if (!this.#rows.has(parameter)) {
        throw new ArgumentError(
          `watch: the optimizer does not train ${parameter.name}, so its ${what} cannot be summed`,
        );
      }
    }
    if (what === 'gradientChange') {
      for (const parameter of parameters) {
        if (this.#previous.has(parameter)) continue;
        this.#previous.set(parameter, { tensor: persistent(zerosLike(parameter)), step: 0 });
      }
      return;
    }
    if (!Number.isInteger(every) || every < 1) {
      throw new ArgumentError(`watch: every ${every} must be a whole number of steps, at least 1`);
    }
    for (const parameter of parameters) {
      this.#releaseCopy(parameter, 'its change is watched anew');
      const copied = every > 1 ? persistent(copy(parameter)) : null;
      this.#weights.set(parameter, { partialsStart: 0, every, copy: copied });
    }
    this.#layOutWeightPartials();
  }

  /** Ends that, and gives back the copies. */
  unwatch(what: WatchedChange, parameters: readonly Parameter[]): void {
    for (const parameter of parameters) {
      if (what === 'gradientChange') this.#releasePrevious(parameter, 'its change is not watched any more');
      else this.#releaseCopy(parameter, 'its change is not watched any more');
      if (what === 'weightChange') this.#weights.delete(parameter);
    }
    if (what === 'weightChange') this.#layOutWeightPartials();
  }

  /** Measures every gradient there is. A parameter that has none in this step, or is frozen, counts as 0. */
  measure(step: number, loss: Tensor | null, maxNorm: number): void {
    this.#step = step;
    this.#reading = null;
    this.#halves = new Set();
    this.#changed = new Set();
    this.#moved = new Set();
    this.#probed = new Set();
    for (const [parameter, row] of this.#rows) {
      const counts = !parameter.isFrozen || parameter.isProbed;
      const halves = counts ? halvesOf(parameter) : null;
      const gradient = halves ?? (counts ? gradientOf(parameter) : null);
      if (gradient) this.#measureOne(parameter, gradient, row, halves !== null);
      else this.#clearSums(parameter);
    }
    const rows = this.#rows.size;
    scope('report', () =>
      dispatch(reportKernel, {
        operands: { partials: this.#partials, loss: loss ? dense(loss) : this.#noLoss, report: this.report },
        scalars: { rows, step, maxNorm },
        workgroups: [1, 1, 1],
        flops: 4 * rows * maxGroups,
      }),
    );
  }

  /**
   * Where an update leaves what each of its workgroups changed; null where nobody asks, or over several steps, where a
   * copy tells.
   */
  changePartials(parameter: Parameter): { partials: Tensor; start: number } | null {
    const watch = this.#weights.get(parameter);
    if (!watch || watch.copy || !this.#weightPartials) return null;
    this.#moved.add(parameter);
    return { partials: this.#weightPartials.partials, start: watch.partialsStart };
  }

  /** Sums the changes once every parameter is updated. */
  finish(): void {
    if (!this.#weightPartials) return;
    const { partials, ranges } = this.#weightPartials;
    for (const [parameter, { copy: before, every, partialsStart }] of this.#weights) {
      if (!before || this.#step % every !== 0 || parameter.isFrozen) continue;
      this.#moved.add(parameter);
      dispatch(copyChangeKernel, {
        operands: { value: parameter, copy: before, partials },
        scalars: { count: parameter.size, partialsStart },
        workgroups: flatWorkgroups(parameter.size, elementwise.elementsPerGroup),
        flops: 2 * parameter.size,
      });
    }
    if (this.#moved.size === 0) return;
    dispatch(weightChangeKernel, {
      operands: { partials, ranges, report: this.report },
      scalars: { rows: this.#rows.size },
      workgroups: [this.#rows.size, 1, 1],
      flops: partials.size,
    });
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
    const [halves, changed, moved, probed] = [this.#halves, this.#changed, this.#moved, this.#probed];
    const measured = new Set(this.#measured);
    const data = await this.report.data();
    const gradients = new Map<Parameter, GradientSums>();
    let firstBad: { name: string; step: number } | null = null;
    for (const [parameter, row] of this.#rows) {
      const [absolute, squares, product, badSince] = data.subarray(4 * (row + 1), 4 * (row + 2));
      const [gradientChange, weightChange] = data.subarray(4 * (1 + this.#rows.size + row));
      if (badSince > 0 && badSince < (firstBad?.step ?? Number.POSITIVE_INFINITY)) {
        firstBad = { name: parameter.name, step: badSince };
      }
      if ((parameter.isFrozen && !probed.has(parameter)) || !measured.has(parameter)) continue;
      gradients.set(parameter, {
        absolute,
        squares,
        halvesProduct: halves.has(parameter) ? product : null,
        gradientChange: changed.has(parameter) ? gradientChange : null,
        weightChange: moved.has(parameter) ? weightChange : null,
      });
    }
    if (firstBad) throw new NonFiniteGradientError(firstBad.name, firstBad.step);
    return { step, loss: data[3], gradientNorm: data[2], gradients };
  }

  /** The gradients of the step before, for a checkpoint: null where none is kept that a next step could be compared to. */
  async previousGradient(parameter: Parameter): Promise<{ step: number; data: NumericArray } | null> {
    const previous = this.#previous.get(parameter);
    return previous && previous.step > 0 ? { step: previous.step, data: await previous.tensor.data() } : null;
  }

  /** Puts a checkpoint's place: no gradient counts as broken any more, and watched changes go on from what it holds. */
  restore(step: number, previousGradients: ReadonlyMap<Parameter, { step: number; data: NumericArray }>): void {
    this.#step = step;
    this.#reading = null;
    this.#measured.clear();
    fill(this.report, 0);
    fill(this.#partials, 0);
    for (const [parameter, previous] of this.#previous) {
      const saved = previousGradients.get(parameter);
      previous.step = saved?.step ?? 0;
      if (saved && !parameter.isFrozen) write(previous.tensor, saved.data);
    }
    for (const [parameter, { copy: before }] of this.#weights) {
      if (before && !parameter.isFrozen) scope('restore', () => copyInto(parameter, before, before.strides));
    }
  }

  release(): void {
    for (const stop of this.#stopListening) stop();
    const reason = 'its optimizer was released';
    for (const parameter of this.#rows.keys()) this.#releasePrevious(parameter, reason);
    for (const parameter of this.#weights.keys()) this.#releaseCopy(parameter, reason);
    this.#weights.clear();
    this.#layOutWeightPartials();
    for (const tensor of [this.report, this.#partials, this.#noLoss, this.#nothing]) tensor.release(reason);
  }

  #measureOne(parameter: Parameter, gradient: Tensor, row: number, inHalves: boolean): void {
    this.#measured.add(parameter);
    if (inHalves) this.#halves.add(parameter);
    if (parameter.isProbed) this.#probed.add(parameter);
    const previous = parameter.isProbed ? undefined : this.#previous.get(parameter);
    // Only neighbouring steps can be compared; after a gap the sample is a first one again.
    const follows = previous !== undefined && previous.step > 0 && previous.step === this.#step - 1;
    if (follows) this.#changed.add(parameter);
    if (previous) previous.step = this.#step;
    const use = follows ? 'compareAndStore' : previous ? 'store' : 'none';
    scope('statistics', () => {
      const values = dense(gradient);
      const { isProbed: isProbe, size: count } = parameter;
      this.#sum(values, previous?.tensor ?? null, count, row, { use, inHalves, isProbe });
      if (inHalves) halvesWereSummed(parameter, values);
    });
  }

  /** What was measured of this parameter counts no longer, and what was kept for its changes is given back. */
  #clear(parameter: Parameter): void {
    this.#clearSums(parameter);
    const reason = `${parameter.name} was frozen`;
    const previous = this.#previous.get(parameter);
    if (previous && parameter.isFrozen) previous.tensor.release(reason);
    else if (previous) this.#previous.set(parameter, { tensor: persistent(zerosLike(parameter)), step: 0 });
    const weights = this.#weights.get(parameter);
    if (!weights?.copy) return;
    if (parameter.isFrozen) weights.copy.release(reason);
    else weights.copy = persistent(copy(parameter));
  }

  #clearSums(parameter: Parameter): void {
    const row = this.#rows.get(parameter);
    if (row !== undefined && this.#measured.delete(parameter))
      this.#sum(this.#noLoss, null, 0, row, { use: 'none', inHalves: false, isProbe: false });
  }

  #releasePrevious(parameter: Parameter, reason: string): void {
    const previous = this.#previous.get(parameter);
    if (previous && !previous.tensor.isReleased) previous.tensor.release(reason);
    this.#previous.delete(parameter);
  }

  #releaseCopy(parameter: Parameter, reason: string): void {
    const held = this.#weights.get(parameter)?.copy;
    if (held && !held.isReleased) held.release(reason);
  }

  #layOutWeightPartials(): void {
    for (const tensor of Object.values(this.#weightPartials ?? {})) tensor.release('other changes are watched now');
    this.#weightPartials = null;
    if (this.#weights.size === 0) return;
    const ranges = new Int32Array(2 * this.#rows.size);
    let total = 0;
    for (const [parameter, watch] of this.#weights) {
      const groups = updateGroups(parameter.size);
      watch.partialsStart = total;
      ranges.set([total, groups], 2 * (this.#rows.get(parameter) ?? 0));
      total += groups;
    }
    const { device, dtype } = this.report;
    this.#weightPartials = {
      partials: persistent(zeros([total], { device, dtype })),
      ranges: persistent(tensor(ranges, { device, dtype: 'i32' })),
    };
  }

  #sum(
    gradient: Tensor,
    previous: Tensor | null,
    count: number,
    row: number,
    { use, inHalves, isProbe }: { use: keyof typeof previousUse; inHalves: boolean; isProbe: boolean },
  ): void {
    const groups = Math.max(1, Math.min(maxGroups, Math.ceil(count / elementsPerGroup)));
    dispatch(statisticsKernel(count), {
      operands: { gradient, previous: previous ?? this.#nothing, partials: this.#partials },
      scalars: {
        count,
        row,
        groups,
        useHalves: inHalves ? 1 : 0,
        usePrevious: previousUse[use],
        isProbe: isProbe ? 1 : 0,
      },
      workgroups: [groups, 1, 1],
      flops: (inHalves ? 6 : 3) * count + (use === 'compareAndStore' ? 3 * count : 0),
    });
  }
}

function zerosLike({ shape, device, dtype }: Tensor): Tensor {
  return zeros(shape, { device, dtype });
}

function persistent(made: Tensor): Tensor {
  made.persist();
  return made;
}

function write(target: Tensor, data: NumericArray): void {
  const { device, dtype, shape } = target;
  scope('restore', () => copyInto(tensor(data, { device, dtype, shape }), target, target.strides));
}
