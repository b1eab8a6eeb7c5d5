/** A linear layer fused with cross-entropy: logits and their gradient exist for a few rows at a time. */
import { copyInto, fill } from '../../tensor/copy.ts';
import { tensor, zeros } from '../../tensor/create.ts';
import { computeDType } from '../../tensor/dtype.ts';
import { ArgumentError, BackwardError, ShapeError } from '../../tensor/errors.ts';
import { checkOptions } from '../../tensor/options.ts';
import { scope } from '../../tensor/scope.ts';
import { formatShape, sameShape } from '../../tensor/shape.ts';
import { allocate, type Tensor } from '../../tensor/tensor.ts';
import { isLive, LeafNode } from '../node.ts';
import { beginWithStored, isRecording, record, refuseStored } from '../record.ts';
import { accumulate, isWritable, scaleInPlace } from './accumulate.ts';
import { constant } from './constant.ts';
import {
  type CrossEntropyOptions,
  checkTargets,
  crossEntropyOptions,
  crossEntropySettings,
  gradientOfRows,
  hostTargets,
  lossDivisor,
  lossesOfRows,
} from './cross-entropy.ts';
import { embedding } from './embedding.ts';
import { checkIndexOperand } from './index-operand.ts';
import { scatterAdd } from './indexing/gather.ts';
import { product, transposed } from './matmul/matmul.ts';
import { mul } from './pointwise/pointwise.ts';
import { reduceAxes } from './reduction/reduce-axes.ts';
import { reshape } from './views.ts';

export interface LinearCrossEntropyOptions extends CrossEntropyOptions {
  /** (classes), added to the logits. */
  bias?: Tensor | null;
  /** Another product that is added to the logits, such as an adapter's: (…, rank) and (rank, classes). */
  lowRank?: readonly [Tensor, Tensor] | null;
  /** Whether the weight is (classes, width), as the table of an embedding is, instead of (width, classes). */
  isTransposed?: boolean;
  /** Rows whose logits exist at a time. */
  chunkRows?: number;
}

/** Fewer rows than this would read the weight anew for little work. */
const fewestRows = 128;

/**
 * Rows of a chunk: as many as make its logits take about what x takes (Liger Kernel, arXiv 2410.10989), but not so few that
 * reading the weight takes longer than the products.
 */
export function rowsOfChunk(rows: number, width: number, classes: number): number {
  const asLarge = 2 ** Math.ceil(Math.log2(Math.max(1, rows / Math.ceil(classes / width))));
  return Math.min(rows, Math.max(asLarge, fewestRows));
}

/**
 * crossEntropy(x · weight + bias, targets) without the logits. x: (…, width); weight: (width, classes); targets: i32 of the leading
 * shape of x. The result is a scalar, or for `none` has the shape of the targets.
 *
 * Rows without a target are left out, where the host knows the targets. The others go in chunks: their logits, loss, gradient of
 * the logits, and its products into the gradients of x and weight, computed in the forward pass and for live inputs alone: a frozen weight costs
 * no product. The backward pass multiplies them by the gradient that arrives. So the forward pass counts operations that
 * `crossEntropy(matmul(…))` makes in the backward pass; their sum is the same. With `none` each row has a gradient of its own: then
 * the backward pass computes the logits again. Memory: two chunks of logits, and the gradients.
 *
 * @throws ShapeError for shapes that do not fit; ArgumentError for chunkRows that is no whole number above 0, and what `crossEntropy` throws.
 */
export function linearCrossEntropy(
  x: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions = {},
): Tensor {
  checkOptions(operation, options, [...crossEntropyOptions, 'bias', 'lowRank', 'isTransposed', 'chunkRows'], 'bias');
  const { bias = null, lowRank = null, isTransposed = false } = options;
  const others = [...(bias === null ? [] : [bias]), ...(lowRank ?? [])];
  beginWithStored(operation, x, weight, ...others);
  refuseStored(operation, x, ...others);
  const settings = crossEntropySettings(operation, options);
  const [width, classes] = isTransposed ? weight.shape.toReversed() : weight.shape;
  const terms: Term[] = [{ x, weight, isTransposed }];
  if (lowRank) terms.push({ x: lowRank[0], weight: lowRank[1], isTransposed: false });
  for (const each of terms) checkTerm(each, x, classes);
  if (bias && (bias.rank !== 1 || bias.shape[0] !== classes)) {
    throw new ShapeError(`${operation}: bias ${formatShape(bias.shape)} must have shape ${formatShape([classes])}`);
  }
  checkTargets(operation, targets, x, classes);
  checkIndexOperand(operation, targets, x, classes, settings.ignoreIndex);
  const { chunkRows = rowsOfChunk(targets.size, width, classes) } = options;
  if (targets.size > 0 && !(Number.isInteger(chunkRows) && chunkRows > 0)) {
    throw new ArgumentError(`${operation}: chunkRows is ${chunkRows} (allowed: whole numbers of at least 1)`);
  }

  const rows = targets.size;
  const [samples] = x.shape;
  /** Rows of the first half of the batch; of an odd number of samples it has one more. */
  const cut = Math.ceil(samples / 2) * (rows / Math.max(1, samples));
  const asRows = (each: Tensor) => reshape(each, [rows, each.shape[each.rank - 1]]);
  const rowTerms = terms.map((each) => ({ ...each, x: asRows(each.x) }));
  const fixed = { bias, settings, chunkRows, samples };
  const known = hostTargets(targets);
  const counted = known && Int32Array.from([...known.keys()].filter((row) => known[row] !== settings.ignoreIndex));
  if (!known || !counted || counted.length === rows) {
    const losses = fused({ ...fixed, terms: rowTerms, targets: reshape(targets, [rows]), cut });
    return settings.reduction === 'none' ? reshape(losses, targets.shape) : losses;
  }
  const { device } = x;
  const places = tensor(counted, { device });
  const losses = fused({
    ...fixed,
    terms: rowTerms.map((each) => ({ ...each, x: embedding(places, each.x) })),
    targets: tensor(
      counted.map((row) => known[row]),
      { device },
    ),
    cut: counted.filter((row) => row < cut).length,
  });
  if (settings.reduction !== 'none') return losses;
  const nowhere = zeros([rows], { device, dtype: losses.dtype });
  return reshape(scatterAdd(nowhere, 0, places, losses), targets.shape);
}

/** A product that the logits are a sum of: (rows, k) · (k, classes), or with (classes, k) transposed. */
interface Term {
  x: Tensor;
  weight: Tensor;
  isTransposed: boolean;
}

interface Fused {
  terms: readonly Term[];
  bias: Tensor | null;
  /** i32 (rows). */
  targets: Tensor;
  settings: Required<CrossEntropyOptions>;
  chunkRows: number;
  /** Where the second half of the batch begins. */
  cut: number;
  /** Of the whole batch. */
  samples: number;
}

const operation = 'linearCrossEntropy';

function fused(plan: Fused): Tensor {
  const { terms, targets, settings } = plan;
  const inputs = inputsOf(plan);
  beginWithStored(operation, ...inputs);
  const { device } = targets;
  const [rows] = targets.shape;
  const dtype = computeDType(terms[0].x.dtype);
  const divisor = lossDivisor(targets, dtype, settings);
  const losses = allocate(device, dtype, [rows], operation);
  const logSumExp = allocate(device, dtype, [rows], operation);
  const isMany = settings.reduction === 'none';
  const wanted = inputs.map(({ node }) => !isMany && isRecording() && isLive(node));
  const splits = terms.map(({ weight: { node } }) =>
    node instanceof LeafNode && node.splitsHalves ? node.name : null,
  );
  const totals = new Totals(plan, wanted, splits);
  const one = constant(device, dtype, 1);
  forEachChunk(plan, totals.cut, (from, to) => {
    const chunk = { logits: logitsOf(plan, from, to), targets: part(targets, from, to), divisor, settings };
    const ofChunk = lossesOfRows(chunk);
    copyInto(ofChunk.losses, losses, losses.strides, from);
    if (isMany) copyInto(ofChunk.logSumExp, logSumExp, logSumExp.strides, from);
    else if (wanted.includes(true)) totals.add(gradientOfRows(chunk, ofChunk.logSumExp, one), from, to);
  });
  if (isMany) {
    const gradient = (g: Tensor, saved: readonly Tensor[], live: readonly boolean[]) => {
      const [targets, divisor, logSumExp] = saved.slice(inputs.length);
      const again = { ...plan, targets, ...held(plan, saved) };
      const totals = new Totals(again, live, splits);
      forEachChunk(again, totals.cut, (from, to) => {
        const chunk = { logits: logitsOf(again, from, to), targets: part(targets, from, to), divisor, settings };
        totals.add(gradientOfRows(chunk, part(logSumExp, from, to), part(g, from, to)), from, to);
      });
      return totals.take();
    };
    return record(operation, losses, [{ inputs, saves: [...inputs, targets, divisor, logSumExp], gradient }]);
  }
  const gradients = totals.take();
  const rules = inputs.flatMap((input, i) => {
    const own = gradients[i];
    if (!own) return [];
    const gradient = (g: Tensor, [own]: readonly Tensor[], _total: Tensor | null, isLast: boolean) =>
      isLast && isWritable(own) ? scaleInPlace(own, g) : mul(own, g);
    return [{ input, saves: [own], gradient }];
  });
  const result = record(operation, reduceAxes('sum', losses, [0]).view({ shape: [] }, operation), rules);
  // Held by the graph alone, they can be multiplied where they are.
  for (const each of gradients) each?.release('the graph holds it');
  return result;
}

function inputsOf({ terms, bias }: Pick<Fused, 'terms' | 'bias'>): Tensor[] {
  return [...terms.map(({ x }) => x), ...terms.map(({ weight }) => weight), ...(bias ? [bias] : [])];
}

/** The inputs as the graph held them. */
function held({ terms, bias }: Fused, saved: readonly Tensor[]): Pick<Fused, 'terms' | 'bias'> {
  return {
    terms: terms.map((each, i) => ({ ...each, x: saved[i], weight: saved[terms.length + i] })),
    bias: bias && saved[2 * terms.length],
  };
}

/** Calls `visit` for rows `from` to before `to`, chunk by chunk; none reaches over `cut`. */
function forEachChunk(
  { targets: { size: rows }, chunkRows }: Fused,
  cut: number,
  visit: (from: number, to: number) => void,
): void {
  for (const [begin, end] of [
    [0, cut],
    [cut, rows],
  ]) {
    for (let from = begin; from < end; from += chunkRows) {
      scope(operation, () => visit(from, Math.min(end, from + chunkRows)));
    }
  }
}

/** Rows of a matrix, or elements of a vector. */
function part(x: Tensor, from: number, to: number): Tensor {
  const shape = [to - from, ...x.shape.slice(1)];
  return x.view({ shape, strides: x.strides, offset: x.offset + from * x.strides[0] }, operation);
}

function logitsOf({ terms, bias }: Fused, from: number, to: number): Tensor {
  const [first, ...others] = terms;
  const dtype = computeDType(first.x.dtype);
  const logits = product(part(first.x, from, to), asFactor(first), dtype, { bias });
  for (const each of others) product(part(each.x, from, to), asFactor(each), dtype, { total: logits });
  return logits;
}

/** The weight as (k, classes). */
function asFactor({ weight, isTransposed }: Term): Tensor {
  return isTransposed ? transposed(weight) : weight;
}

/** The gradients of the inputs as they add up from chunk to chunk; null for one that is not wanted. */
class Totals {
  /** Rows before it are the first half of the batch, where that counts for a weight; else 0. */
  readonly cut: number;
  readonly #plan: Fused;
  readonly #ofX: readonly (Tensor | null)[];
  /** For each term one total, or one for each half of the batch. */
  readonly #ofWeight: readonly (readonly Tensor[] | null)[];
  readonly #ofBias: Tensor | null;

  /**
   * @param wanted of each input, in the order of `inputsOf`.
   * @param splits of each term the name of a weight whose gradient is asked for in halves, else null.
   */
  constructor(plan: Fused, wanted: readonly boolean[], splits: readonly (string | null)[]) {
    const { terms, bias, cut, samples } = plan;
    const count = terms.length;
    const name = splits.find((name, i) => name !== null && wanted[count + i]) ?? null;
    if (name !== null && samples < 2) {
      throw new BackwardError(
        `${operation}: the gradient of ${name} was asked for in two halves, but the batch holds ${samples} samples (allowed: 2 or more)`,
      );
    }
    const like = ({ device, dtype, shape }: Tensor) =>
      allocate(device, computeDType(dtype), shape, `${operation}-gradient`);
    const zerosLike = (x: Tensor) => fill(like(x), 0);
    this.#plan = plan;
    this.cut = name === null ? 0 : cut;
    this.#ofX = terms.map(({ x }, i) => (wanted[i] ? like(x) : null));
    this.#ofWeight = terms.map(({ weight }, i) => {
      if (!wanted[count + i]) return null;
      return splits[i] === null ? [zerosLike(weight)] : [zerosLike(weight), zerosLike(weight)];
    });
    this.#ofBias = bias && wanted[2 * count] ? zerosLike(bias) : null;
  }

  /** Adds what the gradient of the logits of rows `from` to before `to` comes to. */
  add(g: Tensor, from: number, to: number): void {
    this.#plan.terms.forEach((each, i) => {
      const [ofX, ofWeight] = [this.#ofX[i], this.#ofWeight[i]];
      if (ofX) {
        copyInto(product(g, transposed(asFactor(each)), g.dtype), ofX, ofX.strides, from * ofX.strides[0]);
      }
      if (!ofWeight) return;
      const x = part(each.x, from, to);
      const total = ofWeight[ofWeight.length > 1 && from >= this.cut ? 1 : 0];
      if (each.isTransposed) product(transposed(g), x, g.dtype, { total });
      else product(transposed(x), g, g.dtype, { total });
    });
    if (!this.#ofBias) return;
    accumulate(this.#ofBias, reduceAxes('sum', g, [0]).view({ shape: this.#ofBias.shape }, operation));
  }

  /** In the order of `inputsOf`; a weight's halves as (2, …shape). */
  take(): (Tensor | null)[] {
    const { bias } = this.#plan;
    const ofWeight = this.#ofWeight.map((totals) => {
      if (!totals || totals.length === 1) return totals?.[0] ?? null;
      const [first] = totals;
      const both = allocate(first.device, first.dtype, [2, ...first.shape], `${operation}-gradient`);
      totals.forEach((half, i) => {
        copyInto(half, both, both.strides.slice(1), i * both.strides[0]);
        half.release('it is one of two halves');
      });
      return both;
    });
    return [...this.#ofX, ...ofWeight, ...(bias ? [this.#ofBias] : [])];
  }
}

function checkTerm({ x, weight, isTransposed }: Term, first: Tensor, classes: number): void {
  const [inner, outer] = isTransposed ? weight.shape.toReversed() : weight.shape;
  const fits = x.rank >= 2 && weight.rank === 2 && inner === x.shape[x.rank - 1] && outer === classes;
  if (fits && sameShape(x.shape.slice(0, -1), first.shape.slice(0, -1))) return;
  throw new ShapeError(
    `${operation}: ${formatShape(x.shape)} and weight ${formatShape(weight.shape)} do not fit (allowed: x […, width] of at ` +
      'least two axes, weight [width, classes], or [classes, width] with isTransposed; lowRank […, rank] and [rank, classes])',
  );
}
