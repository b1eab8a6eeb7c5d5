/** Rows of a table by index, and the gradient of the table. */
import { fill } from '../../tensor/copy.ts';
import { dispatch } from '../../tensor/dispatch.ts';
import { resultDType } from '../../tensor/dtype.ts';
import { ShapeError } from '../../tensor/errors.ts';
import { flatWorkgroups, kernel } from '../../tensor/kernel.ts';
import { formatShape } from '../../tensor/shape.ts';
import { allocate, dense, type Tensor } from '../../tensor/tensor.ts';
import { beginWithStored, record } from '../record.ts';
import { checkIndexOperand } from './index-operand.ts';

const scalars = { tokens: 'u32', width: 'u32', count: 'u32' } as const;
const workgroupSize = 64;

/** Tokens of which one thread takes the rows at a time. */
function tokenParts({ tokens, width }: { tokens: number; width: number }) {
  const tokensOfPart = Math.max(1, Math.floor(16384 / width));
  return { tokensOfPart, parts: Math.ceil(tokens / tokensOfPart), operations: tokens * width };
}

const gatherKernel = kernel({
  name: 'embedding',
  operands: { indices: 'read', table: 'read', result: 'write' },
  scalars,
  wgsl: { file: 'embedding' },
  widens: { table: 1 },
  reference({ indices, table, result }, { tokens, width, count }) {
    for (let token = 0; token < tokens; token++) {
      const index = indices[token];
      for (let column = 0; column < width; column++) {
        result[token * width + column] = index >= 0 && index < count ? table[index * width + column] : Number.NaN;
      }
    }
  },
  simd(call) {
    const { tokensOfPart, parts, operations } = tokenParts(call.scalars);
    return call.run(
      'gather',
      { tokensOfPart, tableBytes: call.bytes('table') },
      { parts, scratchBytes: 0, operations },
    );
  },
});

/** Chains the tokens of one index: each knows the next, and a minus sign says that it is not the first. */
const linkKernel = kernel({
  name: 'embedding-link',
  operands: { indices: 'read', links: 'write' },
  scalars,
  wgsl: { file: 'embedding_gradient', entry: 'link' },
  reference({ indices, links }, { tokens }) {
    const newest = new Map<number, number>();
    for (let token = 0; token < tokens; token++) {
      const previous = newest.get(indices[token]);
      if (previous !== undefined) links[previous] = Math.sign(links[previous]) * token;
      links[token] = previous === undefined ? tokens : -tokens;
      newest.set(indices[token], token);
    }
  },
  simd: (call) => call.run('link', {}, { parts: 1, scratchBytes: 4 * call.scalars.count }),
});

/** The first token of an index walks its chain and writes the sum. */
const sumKernel = kernel({
  name: 'embedding-gradient',
  operands: { indices: 'read', savedLinks: 'read', outputGradient: 'read', inputGradient: 'update' },
  scalars,
  wgsl: { file: 'embedding_gradient', entry: 'sum' },
  reference({ indices, savedLinks, outputGradient, inputGradient }, { tokens, width, count }) {
    for (let first = 0; first < tokens; first++) {
      const index = indices[first];
      if (savedLinks[first] < 0 || index < 0 || index >= count) continue;
      for (let column = 0; column < width; column++) {
        let total = 0;
        for (let token = first; token < tokens; token = Math.abs(savedLinks[token])) {
          total += outputGradient[token * width + column];
        }
        inputGradient[index * width + column] = total;
      }
    }
  },
  simd(call) {
    const { tokensOfPart, parts, operations } = tokenParts(call.scalars);
    return call.run('sumChains', { tokensOfPart }, { parts, scratchBytes: 8 * call.scalars.width, operations });
  },
});

/**
 * The rows of a table that indices name. indices: i32 of any shape; table: (count, width), of any floating dtype; the result
 * has shape (…indices.shape, width) and is stored as the table is, but in f32 where that is bf16. The gradient is dense; rows that no index names get 0.
 *
 * @throws ArgumentError for an index outside 0 … count - 1, if the indices came from the host (others give NaN);
 * DTypeError where they are not i32; ShapeError for a table that is no matrix; DeviceMismatchError.
 */
export function embedding(indices: Tensor, table: Tensor): Tensor {
  beginWithStored('embedding', table);
  if (table.rank !== 2) {
    throw new ShapeError(`embedding: table has shape ${formatShape(table.shape)} (allowed: [count, width])`);
  }
  const [count, width] = table.shape;
  checkIndexOperand('embedding', indices, table, count);
  const tokens = indices.size;
  const shapes = { tokens, width, count };
  const result = allocate(table.device, resultDType(table.dtype), [...indices.shape, width], 'embedding');
  dispatch(gatherKernel, {
    operands: { indices: dense(indices), table: dense(table), result },
    scalars: shapes,
    workgroups: flatWorkgroups(result.size, workgroupSize),
    flops: 0,
  });

  const gradient = (outputGradient: Tensor, [saved]: readonly Tensor[]): Tensor => {
    const { device, dtype } = outputGradient;
    const inputGradient = fill(allocate(device, dtype, [count, width], 'embedding-gradient'), 0);
    const denseIndices = dense(saved);
    const links = allocate(device, 'i32', [tokens], 'embedding-link');
    dispatch(linkKernel, {
      operands: { indices: denseIndices, links },
      scalars: shapes,
      workgroups: flatWorkgroups(tokens, workgroupSize),
      flops: 0,
    });
    dispatch(sumKernel, {
      operands: {
        indices: denseIndices,
        savedLinks: links,
        outputGradient: dense(outputGradient),
        inputGradient,
      },
      scalars: shapes,
      workgroups: flatWorkgroups(outputGradient.size, workgroupSize),
      flops: outputGradient.size,
    });
    return inputGradient;
  };
  return record('embedding', result, [{ input: table, saves: [indices], gradient }]);
}
