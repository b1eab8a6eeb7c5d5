/** Rotary position embedding. */
import { tensor } from '../../tensor/create.ts';
import type { Device } from '../../tensor/device.ts';
import { dispatch } from '../../tensor/dispatch.ts';
import { computeDType, type HostDType, typedArray } from '../../tensor/dtype.ts';
import { ArgumentError, ShapeError } from '../../tensor/errors.ts';
import { getOrCreate } from '../../tensor/get-or-create.ts';
import { flatWorkgroups, kernel } from '../../tensor/kernel.ts';
import { checkOptions } from '../../tensor/options.ts';
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
    /** Pairs of a head that turn. */
    half: 'u32',
    /** Elements of a head; those behind 2 · half stay as they are. */
    headSize: 'u32',
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
    const batches = (2 * s.pairs) / (s.headSize * s.heads * s.time);
    let to = 0;
    for (let batch = 0; batch < batches; batch++) {
      for (let time = 0; time < s.time; time++) {
        const position = s.positionOffset + time;
        const fineLine = 2 * (position % finePositions) * s.half;
        const coarseLine = 2 * (finePositions + Math.floor(position / finePositions)) * s.half;
        for (let head = 0; head < s.heads; head++, to += s.headSize) {
          const start = s.xOffset + batch * s.xBatch + time * s.xTime + head * s.xHead;
          for (let j = 2 * s.half; j < s.headSize; j++) result[to + j] = x[start + j * s.xElement];
          for (let j = 0; j < s.half; j++) {
            const source = start + j * s.xElement;
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
    const { pairs, half, heads, headSize } = call.scalars;
    // Heads of which only a part turns take the plain loop.
    return headSize === 2 * half && call.run('rotary', {}, { parts: pairs / (half * heads), scratchBytes: 16 * half });
  },
});

/** How a model was stretched to more positions than it was first trained on: what the frequencies are changed to. */
export type RotaryScaling =
  /** All divided by `factor`, as if positions were closer together (arXiv 2306.15595). */
  | { type: 'linear'; factor: number }
  /**
   * Llama 3.1's: waves longer than originalPositions / lowFrequencyFactor are divided by `factor`, those shorter than
   * originalPositions / highFrequencyFactor are kept, and between the two it goes over smoothly.
   */
  | {
      type: 'llama3';
      factor: number;
      lowFrequencyFactor: number;
      highFrequencyFactor: number;
      originalPositions: number;
    };

export interface RotaryOptions {
  /** Pair i turns by base^(-2i / size) radians a position. */
  base?: number;
  /** How many elements of each head turn, the first ones; all of them by default. */
  size?: number;
  scaling?: RotaryScaling | null;
  /** Position of the first time step: how many came before, where a sequence is continued. */
  positionOffset?: number;
}

/**
 * Rotary position embedding (Su et al., arXiv 2104.09864): elements i and i + size / 2 of each head are a pair,
 * which is turned by position · base^(-2i / size). x: (batch, time, heads, headSize), of any floating dtype, headSize even.
 * The product of a query and a key turned so depends on the distance of their positions alone.
 *
 * @throws ShapeError for another rank or an odd headSize; ArgumentError for a base that is not positive, a size that is no
 * even number up to headSize, factors that are not positive, or a positionOffset that is no whole number of at least 0.
 */
export function rotary(x: Tensor, options: RotaryOptions = {}): Tensor {
  begin('rotary', x);
  checkOptions('rotary', options, ['base', 'size', 'scaling', 'positionOffset'], 'positionOffset');
  const { base = 10000, size = x.shape[3], scaling = null, positionOffset = 0 } = options;
  if (x.rank !== 4 || x.shape[3] % 2 !== 0) {
    throw new ShapeError(
      `rotary: x has shape ${formatShape(x.shape)} (allowed: [batch, time, heads, headSize], headSize even)`,
    );
  }
  if (!(Number.isFinite(base) && base > 0)) {
    throw new ArgumentError(`rotary: base is ${base} (allowed: a finite number above 0)`);
  }
  if (!(Number.isInteger(size / 2) && size > 0 && size <= x.shape[3])) {
    throw new ArgumentError(`rotary: size is ${size} (allowed: even numbers from 2 to headSize, ${x.shape[3]})`);
  }
  for (const [name, value] of Object.entries(scaling ?? {})) {
    if (name === 'type' || (Number.isFinite(value) && Number(value) > 0)) continue;
    throw new ArgumentError(`rotary: ${name} of the scaling is ${value} (allowed: a finite number above 0)`);
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
    const half = size / 2;
    const waves = { base, half, scaling };
    const turns = turnsFor(source.device, computeDType(source.dtype), waves, positionOffset + time);
    dispatch(rotaryKernel, {
      operands: { x: source, turns, result },
      scalars: {
        pairs: source.size / 2,
        time,
        heads,
        half,
        headSize,
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

/** How fast the pairs turn. */
interface Waves {
  base: number;
  half: number;
  scaling: RotaryScaling | null;
}

/** Radians a position of each pair. */
function frequenciesOf({ base, half, scaling }: Waves): number[] {
  return Array.from({ length: half }, (_, j) => {
    const frequency = base ** (-j / half);
    if (!scaling) return frequency;
    if (scaling.type === 'linear') return frequency / scaling.factor;
    const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalPositions } = scaling;
    // How often the wave fits into the original positions, between the two factors as a share from 0 to 1.
    const waves = (originalPositions * frequency) / (2 * Math.PI);
    const kept = Math.min(Math.max((waves - low) / (high - low), 0), 1);
    return kept * frequency + ((1 - kept) * frequency) / factor;
  });
}

/** Tables by device, and by dtype and waves: made once, because every step uses the same. */
const tables = new WeakMap<Device, Map<string, Tensor>>();

/**
 * (cos, sin) of position · frequency for the positions 0, 1, … 63, then for 0, 64, 128, … up to `positions`; one
 * line of `half` pairs for each.
 */
function turnsFor(device: Device, dtype: HostDType, waves: Waves, positions: number): Tensor {
  const { half } = waves;
  const known = getOrCreate(tables, device, () => new Map<string, Tensor>());
  const key = `${dtype} ${JSON.stringify(waves)}`;
  const previous = known.get(key);
  const needed = finePositions + Math.ceil(positions / finePositions);
  if (previous && previous.shape[0] >= needed) return previous;

  // Room for twice as many, so that a sequence that grows by one position at a time rarely makes a new table.
  const lines = 2 * needed;
  const values = typedArray(dtype, lines * half * 2);
  const frequencies = frequenciesOf(waves);
  for (let line = 0, i = 0; line < lines; line++) {
    const position = line < finePositions ? line : (line - finePositions) * finePositions;
    for (let j = 0; j < half; j++) {
      const angle = position * frequencies[j];
      values[i++] = Math.cos(angle);
      values[i++] = Math.sin(angle);
    }
  }
  const table = tensor(values, { device, shape: [lines, half, 2], name: 'rotary-table', owner: null });
  known.set(key, table);
  previous?.release('a longer table replaced it');
  return table;
}
