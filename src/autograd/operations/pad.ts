/** A border around a tensor. */
import { copyInto } from '../../tensor/copy.ts';
import { checkNumbers, full } from '../../tensor/create.ts';
import { ArgumentError } from '../../tensor/errors.ts';
import { checkOptions } from '../../tensor/options.ts';
import { formatShape } from '../../tensor/shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { beginView, record, refuseStored } from '../record.ts';

export interface PadOptions {
  /** What the border holds; 0 by default. */
  value?: number;
}

/**
 * x with a border: `widths` are pairs of elements before and behind, one pair for each axis from the first. (PyTorch begins with the
 * last axis, and has no pairs.)
 *
 * @throws ArgumentError for widths that are no such pairs of whole numbers of at least 0.
 */
export function pad(x: Tensor, widths: readonly (readonly [number, number])[], options: PadOptions = {}): Tensor {
  beginView('pad', x);
  refuseStored('pad', x);
  checkOptions('pad', options, ['value']);
  const { value = 0 } = options;
  checkNumbers('pad', { value });
  const isWidth = (width: unknown) => typeof width === 'number' && Number.isSafeInteger(width) && width >= 0;
  const isPair = (pair: unknown) => Array.isArray(pair) && pair.length === 2 && pair.every(isWidth);
  if (!Array.isArray(widths) || widths.length !== x.rank || !widths.every(isPair)) {
    throw new ArgumentError(
      `pad: widths are ${JSON.stringify(widths)} for shape ${formatShape(x.shape)} (allowed: a pair [before, behind] of ` +
        'whole numbers of at least 0 for each axis)',
    );
  }
  const shape = x.shape.map((extent, axis) => widths[axis][0] + extent + widths[axis][1]);
  const result = full(shape, value, { device: x.device, dtype: x.dtype });
  const start = (padded: Tensor) => widths.reduce((sum, [before], axis) => sum + before * padded.strides[axis], 0);
  copyInto(x, result, result.strides, start(result));
  const gradient = (g: Tensor) =>
    g.view({ shape: x.shape, strides: g.strides, offset: g.offset + (x.size === 0 ? 0 : start(g)) }, 'pad');
  return record('pad', result, [{ input: x, gradient }]);
}
