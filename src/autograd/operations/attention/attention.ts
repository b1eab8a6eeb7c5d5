/** Attention with its gradients, and its kernels. */
import { dispatch } from '../../../tensor/dispatch.ts';
import { computeDType } from '../../../tensor/dtype.ts';
import { ArgumentError, DTypeError, ShapeError } from '../../../tensor/errors.ts';
import { getOrCreate } from '../../../tensor/get-or-create.ts';
import { type Kernel, kernel, type SimdCall, type WgslSource } from '../../../tensor/kernel.ts';
import { checkOptions } from '../../../tensor/options.ts';
import { formatShape, sameShape } from '../../../tensor/shape.ts';
import { allocate, dense, type Tensor } from '../../../tensor/tensor.ts';
import { begin, beginView, record } from '../../record.ts';
import { constant } from '../constant.ts';
import { isNaNFunction } from '../not-a-number.ts';
import {
  attentionDelta,
  attentionForward,
  attentionKeyValueGradient,
  attentionQueryGradient,
  attentionScalars as scalars,
} from './reference.ts';
import { type AttentionTile, chooseAttentionTile } from './tiles.ts';
import { attentionWithMask } from './with-mask.ts';

const largestHead = 128;

export interface AttentionOptions {
  /** A query sees only keys at its own position and before. */
  causal?: boolean;
  /** With `causal`: a query sees this many keys at most, its own and those just before it. All of them by default. */
  window?: number | null;
  /** i32 (batch): how many keys of each row count; the rest is padding. All of them by default. */
  lengths?: Tensor | null;
  /** Factor of the scores; 1/√headSize by default. */
  scale?: number;
  /**
   * Added to the scores: a float tensor that broadcasts to (batch, heads, time, keys), which may hold -Infinity where a query does not see
   * a key, and may have a gradient. The scores are held whole then; what the other options say, no mask is needed for.
   */
  mask?: Tensor | null;
}

/** Of one head, as kernels/simd/attention.ts has it. */
const positionsOfPart = 32;

/** Its kernels for heads of one size, divided in one way. */
function makeKernels(headSize: number, { threads, keys, group, shuffle }: AttentionTile) {
  const wgsl = (file: string, entry: string): WgslSource => ({
    file,
    entry,
    constants: {
      HEAD_SIZE: `${headSize}u`,
      THREADS: `${threads}u`,
      TILE: `${keys}u`,
      GROUP: `${group}u`,
      SHUFFLE: `${shuffle}`,
    },
    functions: `${isNaNFunction}fn shuffle(value: vec4f, lane: u32) -> vec4f { return ${shuffle ? 'subgroupShuffle(value, lane)' : 'value'}; }`,
    subgroups: shuffle,
  });
  /** Rows must fill whole vectors. A window runs in the plain loops, also where it hides nothing: bits must not hang on the padding. */
  const onVectors = (
    name: string,
    call: Pick<SimdCall<string, keyof typeof scalars>, 'run' | 'scalars'>,
    part: 'heads' | 'keyHeads' = 'heads',
  ) => {
    const { batch, time, keys, window } = call.scalars;
    if (headSize % 4 !== 0 || window > 0) return false;
    const parts = batch * call.scalars[part] * Math.ceil(time / positionsOfPart);
    // Two panels of up to 16 positions, and a row of theirs for each position that they meet, behind what is of a fixed size.
    const scratchBytes = 832 + 2 * 64 * (headSize + keys + 4);
    return call.run(name, { headSize }, { parts, scratchBytes });
  };
  /** The gradients take as many queries as keys; others are not trained on. */
  const gradientOnVectors = (...[name, call, part]: Parameters<typeof onVectors>) =>
    call.scalars.keys === call.scalars.time && onVectors(name, call, part);
  const inputs = { q: 'read', k: 'read', v: 'read', lengths: 'read' } as const;
  const saved = { ...inputs, outputGradient: 'read', statistics: 'read' } as const;
  return {
    forward: kernel({
      name: 'attention',
      operands: { ...inputs, output: 'write', logSumExp: 'write' },
      scalars,
      wgsl: wgsl('attention_forward', 'main'),
      reference: attentionForward,
      simd: (call) => onVectors('attentionForward', call),
    }),
    delta: kernel({
      name: 'attention-delta',
      operands: { output: 'read', gradientOfOutput: 'read', logSumExp: 'read', statisticsResult: 'write' },
      scalars,
      wgsl: wgsl('attention_backward', 'delta'),
      reference: attentionDelta,
      simd: (call) => {
        const { batch, time, heads } = call.scalars;
        const parts = Math.ceil((batch * time) / positionsOfPart);
        const operations = 2 * batch * time * heads * headSize;
        return headSize % 4 === 0 && call.run('attentionDelta', { headSize }, { parts, scratchBytes: 0, operations });
      },
    }),
    queryGradient: kernel({
      name: 'attention-query-gradient',
      operands: { ...saved, queryGradient: 'write' },
      scalars,
      wgsl: wgsl('attention_backward', 'gradientOfQueries'),
      reference: attentionQueryGradient,
      simd: (call) => gradientOnVectors('attentionQueryGradient', call),
    }),
    keyValueGradient: kernel({
      name: 'attention-key-value-gradient',
      operands: { ...saved, keyGradient: 'write', valueGradient: 'write' },
      scalars,
      wgsl: wgsl('attention_backward', 'gradientsOfKeysAndValues'),
      reference: attentionKeyValueGradient,
      simd: (call) => gradientOnVectors('attentionKeyValueGradient', call, 'keyHeads'),
    }),
  };
}

/** Made once for each head size and tile: every kernel is a pipeline. */
const kernels = new Map<string, ReturnType<typeof makeKernels>>();

function kernelsFor(headSize: number, tile: AttentionTile): ReturnType<typeof makeKernels> {
  return getOrCreate(kernels, `${headSize} ${Object.values(tile).join(' ')}`, () => makeKernels(headSize, tile));
}

/**
 * softmax(scale · q kᵀ) v for every head, with q and the result of shape (batch, time, heads, headSize), and k and v of shape
 * (batch, keys, keyHeads, headSize). Fewer heads of keys than of queries are shared among them, neighbours together (Ainslie et
 * al., arXiv 2305.13245); nothing is copied for it. Where there are more keys than queries, the queries stand at the last
 * positions: the keys before them were kept from an earlier call. Neither direction ever holds the time × keys scores: they are computed block by block (Dao et al., arXiv 2205.14135; Milakov &
 * Gimelshein, arXiv 1805.02867), and all that is saved for the backward pass is the logarithm of each softmax's
 * denominator, from which it recomputes the probabilities. With a `mask` they are held. A query that sees no key gives 0.
 *
 * @throws ShapeError for shapes that do not fit or a head above 128; DTypeError or ShapeError for other `lengths`; ArgumentError
 * for a window without `causal`.
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  begin('attention', q, k, v);
  checkOptions('attention', options, ['causal', 'window', 'lengths', 'scale', 'mask']);
  const [batch, time, heads, headSize] = q.shape;
  const { causal = false, window = null, lengths = null, scale = 1 / Math.sqrt(headSize), mask = null } = options;
  const [, keys, keyHeads] = k.shape;
  if (
    q.rank !== 4 ||
    !sameShape(k.shape, [batch, keys, keyHeads, headSize]) ||
    !sameShape(k.shape, v.shape) ||
    (keys < time && causal) ||
    (heads !== keyHeads && !(heads % keyHeads === 0))
  ) {
    throw new ShapeError(
      `attention: q ${formatShape(q.shape)}, k ${formatShape(k.shape)} and v ${formatShape(v.shape)} do not fit ` +
        '(allowed: q [batch, time, heads, headSize], k and v [batch, keys, keyHeads, headSize], with heads a multiple of ' +
        'keyHeads, and for causal with keys at least time)',
    );
  }
  if (window !== null && !(causal && Number.isInteger(window) && window > 0)) {
    throw new ArgumentError(
      `attention: window is ${window} with causal ${causal} (allowed: whole numbers of at least 1, with causal true)`,
    );
  }
  if (headSize < 1 || headSize > largestHead) {
    throw new ShapeError(`attention: headSize ${headSize} is out of range (allowed: 1 … ${largestHead})`);
  }
  if (!Number.isFinite(scale)) throw new ArgumentError(`attention: scale ${scale} must be a finite number`);
  if (k.dtype !== q.dtype || v.dtype !== q.dtype) {
    throw new DTypeError(
      `attention: q, k and v have dtype ${q.dtype}, ${k.dtype} and ${v.dtype} (allowed: one for all)`,
    );
  }
  checkLengths(lengths, q);
  if (mask !== null) return attentionWithMask({ q, k, v, mask }, { causal, window, lengths, scale });

  const tile = chooseAttentionTile(q.device, headSize);
  const kernels = kernelsFor(headSize, tile);
  const settings = {
    batch,
    time,
    keys,
    heads,
    keyHeads,
    scale,
    causal: causal ? 1 : 0,
    window: window ?? 0,
    useLengths: lengths ? 1 : 0,
  };
  const keysOfQuery = Math.min(causal ? keys - time / 2 : keys, window ?? keys);
  const pairs = batch * heads * time * keysOfQuery;
  const run = <Operand extends string>(
    kernel: Kernel<Operand, keyof typeof scalars>,
    operands: Readonly<Record<NoInfer<Operand>, Tensor>>,
    flops: number,
    [rows, rowHeads]: readonly [number, number] = [time, heads],
  ) =>
    dispatch(kernel, {
      operands,
      scalars: settings,
      workgroups: q.size === 0 ? [0, 0, 0] : [Math.ceil(rows / tile.threads), rowHeads, batch],
      flops,
    });

  const [denseQ, denseK, denseV] = [q, k, v].map(dense);
  const dtype = computeDType(q.dtype);
  const output = allocate(q.device, q.dtype, q.shape, 'attention');
  const logSumExp = allocate(q.device, dtype, [batch, heads, time], 'attention');
  // Without lengths something is bound that the kernels do not read.
  const keyCounts = lengths ? dense(lengths) : constant(q.device, dtype, 0);
  const inputs = { q: denseQ, k: denseK, v: denseV, lengths: keyCounts };
  run(kernels.forward, { ...inputs, output, logSumExp }, (4 * headSize + 5) * pairs);

  const gradient = (g: Tensor, saved: readonly Tensor[], live: readonly boolean[]) => {
    const [q, k, v, output, logSumExp] = saved;
    const [wantsQuery, wantsKey, wantsValue] = live;
    const outputGradient = dense(g);
    const statistics = allocate(g.device, g.dtype, [...logSumExp.shape, 2], 'attention');
    const delta = { output, gradientOfOutput: outputGradient, logSumExp, statisticsResult: statistics };
    run(kernels.delta, delta, 2 * output.size);
    const keyCounts = lengths ? saved[5] : constant(g.device, dtype, 0);
    const operands = { q, k, v, lengths: keyCounts, outputGradient, statistics };
    const like = (x: Tensor) => allocate(g.device, dtype, x.shape, 'attention');
    const queryGradient = wantsQuery ? like(q) : null;
    if (queryGradient) run(kernels.queryGradient, { ...operands, queryGradient }, (6 * headSize + 4) * pairs);
    if (!wantsKey && !wantsValue) return [queryGradient, null, null];
    const keyGradient = like(k);
    const valueGradient = like(v);
    const ofKeys = { ...operands, keyGradient, valueGradient };
    run(kernels.keyValueGradient, ofKeys, (8 * headSize + 4) * pairs, [keys, keyHeads]);
    return [queryGradient, wantsKey ? keyGradient : null, wantsValue ? valueGradient : null];
  };
  const saves = [denseQ, denseK, denseV, output, logSumExp, ...(lengths ? [keyCounts] : [])];
  return record('attention', output, [{ inputs: [q, k, v], saves, gradient }]);
}

function checkLengths(lengths: Tensor | null, q: Tensor): void {
  if (lengths === null) return;
  beginView('attention', q, lengths);
  if (lengths.dtype !== 'i32') throw new DTypeError(`attention: lengths have dtype ${lengths.dtype} (allowed: i32)`);
  if (!sameShape(lengths.shape, [q.shape[0]])) {
    throw new ShapeError(`attention: lengths ${formatShape(lengths.shape)} must have shape [${q.shape[0]}], the batch`);
  }
}
