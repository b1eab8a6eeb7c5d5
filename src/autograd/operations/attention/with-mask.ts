/** Attention with a mask of any kind, composed of other operations: the scores are held whole. */
import { arange } from '../../../tensor/create.ts';
import { computeDType } from '../../../tensor/dtype.ts';
import { ShapeError } from '../../../tensor/errors.ts';
import { broadcastShapes, formatShape, sameShape } from '../../../tensor/shape.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import { begin, noGrad } from '../../record.ts';
import { cast } from '../cast.ts';
import { matmul } from '../matmul/matmul.ts';
import { abs, add, equal, greater, less, lessEqual, mul, where } from '../pointwise/pointwise.ts';
import { max } from '../reduction/reduction.ts';
import { softmax } from '../softmax.ts';
import { broadcastTo, permute, reshape, transpose } from '../views.ts';

/** Stands for -Infinity in the scores: no difference of two of them is NaN. A mask that says less hides as well. */
const hidden = -1e30;

interface Options {
  causal: boolean;
  window: number | null;
  lengths: Tensor | null;
  scale: number;
}

/** @throws ShapeError for a mask that does not broadcast to (batch, heads, time, keys). */
export function attentionWithMask(
  { q, k, v, mask }: Readonly<Record<'q' | 'k' | 'v' | 'mask', Tensor>>,
  { causal, window, lengths, scale }: Options,
): Tensor {
  begin('attention', q, mask);
  const [batch, time, heads, headSize] = q.shape;
  const [, keys, keyHeads] = k.shape;
  const shape = [batch, heads, time, keys];
  if (mask.rank > 4 || !sameShape(broadcastShapes('attention', mask.shape, shape), shape)) {
    throw new ShapeError(
      `attention: mask ${formatShape(mask.shape)} must broadcast to ${formatShape(shape)}, (batch, heads, time, keys)`,
    );
  }
  const byHead = (x: Tensor) => permute(x, [0, 2, 1, 3]);
  const shared = (x: Tensor) =>
    reshape(
      broadcastTo(reshape(byHead(x), [batch, keyHeads, 1, keys, headSize]), [
        batch,
        keyHeads,
        heads / keyHeads,
        keys,
        headSize,
      ]),
      [batch, heads, keys, headSize],
    );
  const [keysOfHeads, values] = [partsOf(shared(k)), partsOf(shared(v))];
  const product = matmul(byHead(q), transpose(keysOfHeads.finite));
  // One score of a key that is not finite is NaN, if it is seen.
  const scores = where(transpose(max(keysOfHeads.isOther, { axes: -1, keepDims: true })), Number.NaN, product);
  const masked = add(mul(scores, scale), mask);
  const options = { device: q.device, dtype: computeDType(q.dtype) };
  const key = arange(keys, options);
  const position = reshape(arange(keys, { ...options, start: keys - time }), [time, 1]);
  // NaN in the mask hides nothing.
  let isSeen = equal(lessEqual(mask, hidden), 0);
  if (causal) isSeen = mul(isSeen, lessEqual(key, position));
  if (window !== null) isSeen = mul(isSeen, less(position, add(key, window)));
  if (lengths) isSeen = mul(isSeen, less(key, reshape(cast(lengths, options.dtype), [batch, 1, 1, 1])));
  // A query that sees nothing gives 0, so what the softmax makes of it is taken out again.
  const weights = where(isSeen, softmax(where(isSeen, masked, hidden)), 0);
  const mixed = matmul(weights, values.finite);
  const isTouched = noGrad(() => greater(matmul(weights, values.isOther), 0));
  return byHead(mul(mixed, where(isTouched, Number.NaN, 1)));
}

/** x with 0 where it is not finite, since 0 · NaN is NaN: what a query does not see must not reach it; and 1 where it is not, else 0. */
function partsOf(x: Tensor): { finite: Tensor; isOther: Tensor } {
  const isNumber = noGrad(() => less(abs(x), Number.POSITIVE_INFINITY));
  return { finite: where(isNumber, x, 0), isOther: equal(isNumber, 0) };
}
