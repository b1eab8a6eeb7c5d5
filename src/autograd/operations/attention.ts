import { dense } from '../../tensor/copy.ts';
import { computeDType } from '../../tensor/dtype.ts';
import { ArgumentError, DTypeError, ShapeError } from '../../tensor/errors.ts';
import { getOrCreate } from '../../tensor/get-or-create.ts';
import { type Access, dispatch, type Kernel, type SimdCall } from '../../tensor/kernel.ts';
import { formatShape, sameShape } from '../../tensor/shape.ts';
import { allocate, type Tensor } from '../../tensor/tensor.ts';
import { begin, beginView, record } from '../record.ts';
import {
  type AttentionScalars,
  attentionDelta,
  attentionForward,
  attentionKeyValueGradient,
  attentionQueryGradient,
} from './attention-reference.ts';
import { type AttentionTile, chooseAttentionTile } from './attention-tiles.ts';
import { constant } from './pointwise-kernel.ts';

const largestHead = 128;

export interface AttentionOptions {
  /** A query sees only keys at its own position and before. */
  causal?: boolean;
  /** i32 (batch): how many keys of each row count; the rest is padding. All of them by default. */
  lengths?: Tensor | null;
  /** Factor of the scores; 1/√headSize by default. */
  scale?: number;
}

type AttentionKernel = Kernel<keyof AttentionScalars>;
type Entry = 'forward' | 'delta' | 'queryGradient' | 'keyValueGradient';

const forms: Readonly<
  Record<
    Entry,
    {
      name: string;
      operands: readonly Access[];
      entry: string;
      reference: AttentionKernel['reference'];
      /** Its function in kernels/simd/attention.ts. */
      simd?: 'attentionForward' | 'attentionQueryGradient' | 'attentionKeyValueGradient';
    }
  >
> = {
  forward: {
    name: 'attention',
    operands: ['read', 'read', 'read', 'read', 'write', 'write'],
    entry: 'main',
    reference: attentionForward,
    simd: 'attentionForward',
  },
  delta: {
    name: 'attention-delta',
    operands: ['read', 'read', 'read', 'write'],
    entry: 'delta',
    reference: attentionDelta,
  },
  queryGradient: {
    name: 'attention-query-gradient',
    operands: ['read', 'read', 'read', 'read', 'read', 'read', 'write'],
    entry: 'gradientOfQueries',
    reference: attentionQueryGradient,
    simd: 'attentionQueryGradient',
  },
  keyValueGradient: {
    name: 'attention-key-value-gradient',
    operands: ['read', 'read', 'read', 'read', 'read', 'read', 'write', 'write'],
    entry: 'gradientsOfKeysAndValues',
    reference: attentionKeyValueGradient,
    simd: 'attentionKeyValueGradient',
  },
};

const kernels = new Map<string, AttentionKernel>();

function kernelFor(entry: Entry, headSize: number, tile: AttentionTile): AttentionKernel {
  const { name, operands, entry: entryPoint, reference, simd } = forms[entry];
  const { threads, keys, group, shuffle } = tile;
  return getOrCreate(kernels, `${entry} ${headSize} ${threads} ${keys} ${group} ${shuffle}`, () => ({
    name,
    operands,
    scalars: { batch: 'u32', time: 'u32', heads: 'u32', scale: 'f32', causal: 'u32', useLengths: 'u32' },
    wgsl: {
      file: entry === 'forward' ? 'attention_forward' : 'attention_backward',
      entry: entryPoint,
      constants: {
        HEAD_SIZE: `${headSize}u`,
        THREADS: `${threads}u`,
        TILE: `${keys}u`,
        GROUP: `${group}u`,
        SHUFFLE: `${shuffle}`,
      },
      functions: `fn shuffle(value: vec4f, lane: u32) -> vec4f { return ${shuffle ? 'subgroupShuffle(value, lane)' : 'value'}; }`,
      subgroups: shuffle,
    },
    reference,
    ...(simd && { simd: (call: AttentionCall) => attentionOnVectors(simd, headSize, call) }),
  }));
}

type AttentionCall = SimdCall<keyof AttentionScalars>;

/** Of one head, as kernels/simd/attention.ts has it. */
const positionsOfPart = 32;

/** Rows must fill whole vectors. */
function attentionOnVectors(
  name: 'attentionForward' | 'attentionQueryGradient' | 'attentionKeyValueGradient',
  headSize: number,
  { inParts, addresses, scalars }: AttentionCall,
): boolean {
  if (headSize % 4 !== 0) return false;
  const { batch, time, heads, scale, causal, useLengths } = scalars;
  return inParts({
    name,
    values: [...addresses, batch, time, heads, headSize, scale, causal, useLengths],
    parts: batch * heads * Math.ceil(time / positionsOfPart),
    // Two rows of weights, with room for the vector at the end of each.
    scratchBytes: 4 * 2 * (time + 8),
  });
}

/**
 * softmax(scale · q kᵀ) v for every head, with q, k, v and the result of shape (batch, time, heads, headSize). Neither
 * direction ever holds the time × time scores: they are computed block by block (Dao et al., arXiv 2205.14135; Milakov &
 * Gimelshein, arXiv 1805.02867), and all that is saved for the backward pass is the logarithm of each softmax's
 * denominator, from which it recomputes the probabilities. A query that sees no key gives 0.
 *
 * @throws ShapeError for shapes that differ or a head above 128; DTypeError or ShapeError for other `lengths`.
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  begin('attention', q, k, v);
  const [batch, time, heads, headSize] = q.shape;
  const { causal = false, lengths = null, scale = 1 / Math.sqrt(headSize) } = options;
  if (q.rank !== 4 || !sameShape(q.shape, k.shape) || !sameShape(q.shape, v.shape)) {
    throw new ShapeError(
      `attention: q ${formatShape(q.shape)}, k ${formatShape(k.shape)} and v ${formatShape(v.shape)} must have one ` +
        'and the same shape (batch, time, heads, headSize)',
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

  const tile = chooseAttentionTile(q.device, headSize);
  const scalars = { batch, time, heads, scale, causal: causal ? 1 : 0, useLengths: lengths ? 1 : 0 };
  const pairs = (causal ? 0.5 : 1) * batch * heads * time * time;
  const run = (entry: Entry, operands: readonly Tensor[], flops: number) =>
    dispatch(kernelFor(entry, headSize, tile), {
      operands,
      scalars,
      workgroups: q.size === 0 ? [0, 0, 0] : [Math.ceil(time / tile.threads), heads, batch],
      flops,
    });

  const inputs = [q, k, v].map(dense);
  const dtype = computeDType(q.dtype);
  const output = allocate(q.device, q.dtype, q.shape, 'attention');
  const logSumExp = allocate(q.device, dtype, [batch, heads, time], 'attention');
  // Without lengths something is bound that the kernels do not read.
  const keyCounts = lengths ? dense(lengths) : constant(q.device, dtype, 0);
  run('forward', [...inputs, keyCounts, output, logSumExp], (4 * headSize + 5) * pairs);

  const gradient = (g: Tensor, saved: readonly Tensor[], live: readonly boolean[]) => {
    const [q, k, v, output, logSumExp] = saved;
    const [wantsQuery, wantsKey, wantsValue] = live;
    const outputGradient = dense(g);
    const statistics = allocate(g.device, g.dtype, [...logSumExp.shape, 2], 'attention');
    run('delta', [output, outputGradient, logSumExp, statistics], 2 * output.size);
    const operands = [q, k, v, lengths ? saved[5] : constant(g.device, dtype, 0), outputGradient, statistics];
    const like = () => allocate(g.device, dtype, q.shape, 'attention');
    const queryGradient = wantsQuery ? like() : null;
    if (queryGradient) run('queryGradient', [...operands, queryGradient], (6 * headSize + 4) * pairs);
    if (!wantsKey && !wantsValue) return [queryGradient, null, null];
    const keyGradient = like();
    const valueGradient = like();
    run('keyValueGradient', [...operands, keyGradient, valueGradient], (8 * headSize + 4) * pairs);
    return [queryGradient, wantsKey ? keyGradient : null, wantsValue ? valueGradient : null];
  };
  const saves = [...inputs, output, logSumExp, ...(lengths ? [keyCounts] : [])];
  return record('attention', output, [{ inputs: [q, k, v], saves, gradient }]);
}

function checkLengths(lengths: Tensor | null, q: Tensor): void {
  if (!lengths) return;
  beginView('attention', q, lengths);
  if (lengths.dtype !== 'i32') throw new DTypeError(`attention: lengths have dtype ${lengths.dtype} (allowed: i32)`);
  if (!sameShape(lengths.shape, [q.shape[0]])) {
    throw new ShapeError(`attention: lengths ${formatShape(lengths.shape)} must have shape [${q.shape[0]}], the batch`);
  }
}
