/** Rotary position embedding. */
import { tensor } from '../../tensor/create.ts';
import type { Device } from '../../tensor/device.ts';
import { dispatch } from '../../tensor/dispatch.ts';
import { computeDType, type HostDType, typedArray } from '../../tensor/dtype.ts';
import { ArgumentError, ShapeError } from '../../tensor/errors.ts';
import { getOrCreate } from '../../tensor/get-or-create.ts';
import { flatWorkgroups, kernel } from '../../tensor/kernel.ts';
import { formatShape } from '../../tensor/shape.ts';
import { allocate, type Tensor } from '../../tensor/tensor.ts';
import { begin, record } from '../record.ts';

/** Positions that differ by less than this differ in the fine line of the table alone. */
const finePositions = 64;

const rotaryKernel = kernel({
  name: 'rotary',
  operands: { x: 'strided', turns: 'read', result: 'write' },
  scalars: {
    pairs: 'u32',
    time: 'u32',
    heads: 'u32',
    half: 'u32',
    positionOffset: 'u32',
    sign: 'f32',
    xBatch: 'u32',
    xTime: 'u32',
    xHead: 'u32',
    xElement: 'u32',
    xOffset: 'u32',
  },
  wgsl: { file: 'rotary', constants: { FINE: `${finePositions}u` } },
  reference({ x, turns, result }, s) {
    const batches = s.pairs / (s.half * s.heads * s.time);
    let to = 0;
    for (let batch = 0; batch < batches; batch++) {
      for (let time = 0; time < s.time; time++) {
        const position = s.positionOffset + time;
        const fineLine = 2 * (position % finePositions) * s.half;
        const coarseLine = 2 * (finePositions + Math.floor(position / finePositions)) * s.half;
        for (let head = 0; head < s.heads; head++, to += 2 * s.half) {
          let source = s.xOffset + batch * s.xBatch + time * s.xTime + head * s.xHead;
          for (let j = 0; j < s.half; j++, source += s.xElement) {
            const [fine, coarse] = [fineLine + 2 * j, coarseLine + 2 * j];
            const cosine = turns[fine] * turns[coarse] - turns[fine + 1] * turns[coarse + 1];
            const sine = s.sign * (turns[fine] * turns[coarse + 1] + turns[fine + 1] * turns[coarse]);
            const first = x[source];
            const second = x[source + s.half * s.xElement];
            result[to + j] = first * cosine - second * sine;
            result[to + j + s.half] = second * cosine + first * sine;
          }
        }
      }
    }
  },
  simd(call) {
    const { pairs, half, heads } = call.scalars;
    return call.run('rotary', {}, { parts: pairs / (half * heads), scratchBytes: 16 * half });
  },
});

export interface RotaryOptions {
  /** Pair i turns by base^(-2i / headSize) radians a position. */
  base?: number;
  /** Position of the first time step: how many came before, where a sequence is continued. */
  positionOffset?: number;
}

/**
 * Rotary position embedding (Su et al., arXiv 2104.09864): elements i and i + headSize / 2 of each head are a pair,
 * which is turned by position · base^(-2i / headSize). x: (batch, time, heads, headSize), of any floating dtype, headSize even.
 * The product of a query and a key turned so depends on the distance of their positions alone.
 *
 * @throws ShapeError for another rank or an odd headSize; ArgumentError for a base that is not positive, or a
 * positionOffset that is no whole number of at least 0.
 */
export function rotary(x: Tensor, { base = 10000, positionOffset = 0 }: RotaryOptions = {}): Tensor {
  begin('rotary', x);
  if (x.rank !== 4 || x.shape[3] % 2 !== 0) {
    throw new ShapeError(
      `rotary: x has shape ${formatShape(x.shape)} (allowed: [batch, time, heads, headSize], headSize even)`,
    );
  }
  if (!(Number.isFinite(base) && base > 0)) {
    throw new ArgumentError(`rotary: base is ${base} (allowed: a finite number above 0)`);
  }
  if (!(Number.isInteger(positionOffset) && positionOffset >= 0 && positionOffset + x.shape[1] <= maxPositions)) {
    throw new ArgumentError(
      `rotary: positionOffset is ${positionOffset} for ${x.shape[1]} time steps (allowed: whole numbers of at least 0, ` +
        `with the last position below ${maxPositions})`,
    );
  }
  // The gradient of a rotation is the rotation by the negative angle.
  const turn = (source: Tensor, sign: 1 | -1): Tensor => {
    const [, time, heads, headSize] = source.shape;
    const result = allocate(source.device, source.dtype, source.shape, 'rotary');
    const [xBatch, xTime, xHead, xElement] = source.strides;
    const half = headSize / 2;
    const turns = turnsFor(source.device, computeDType(source.dtype), base, half, positionOffset + time);
    dispatch(rotaryKernel, {
      operands: { x: source, turns, result },
      scalars: {
        pairs: source.size / 2,
        time,
        heads,
        half,
        positionOffset,
        sign,
        xBatch,
        xTime,
        xHead,
        xElement,
        xOffset: source.offset,
      },
      workgroups: flatWorkgroups(source.size / 2, 64),
      // A pair takes four products and two sums, and as many for its angle.
      flops: 6 * source.size,
    });
    return result;
  };
  return record('rotary', turn(x, 1), [{ input: x, gradient: (g) => turn(g, -1) }]);
}

/** Beyond this the table is no longer small. */
const maxPositions = 2 ** 24;

/** Tables by device, and by dtype, base and half of the head size: made once, because every step uses the same. */
const tables = new WeakMap<Device, Map<string, Tensor>>();

/**
 * (cos, sin) of position · base^(-j / half) for the positions 0, 1, … 63, then for 0, 64, 128, … up to `positions`; one
 * line of `half` pairs for each.
 */
function turnsFor(device: Device, dtype: HostDType, base: number, half: number, positions: number): Tensor {
  const known = getOrCreate(tables, device, () => new Map<string, Tensor>());
  const key = `${dtype} ${base} ${half}`;
  const previous = known.get(key);
  const needed = finePositions + Math.ceil(positions / finePositions);
  if (previous && previous.shape[0] >= needed) return previous;

  // Room for twice as many, so that a sequence that grows by one position at a time rarely makes a new table.
  const lines = 2 * needed;
  const values = typedArray(dtype, lines * half * 2);
  for (let line = 0, i = 0; line < lines; line++) {
    const position = line < finePositions ? line : (line - finePositions) * finePositions;
    for (let j = 0; j < half; j++) {
      const angle = position * base ** (-j / half);
      values[i++] = Math.cos(angle);
      values[i++] = Math.sin(angle);
    }
  }
  const table = tensor(values, { device, shape: [lines, half, 2], name: 'rotary-table', owner: null });
  known.set(key, table);
  previous?.release('a longer table replaced it');
  return table;
}
