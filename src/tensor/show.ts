/** Tensors as text. */
import type { NumericArray } from './dtype.ts';
import { type Shape, sizeOf } from './shape.ts';

/** Axes of larger tensors show this many elements at each end. */
const edge = 3;
const mostElements = 1000;

/** Values as nested lists, a row a line, in columns; of more than 1,000 elements those at the edges. */
export function formatValues(values: NumericArray, shape: Shape): string {
  const isLong = values.length > mostElements;
  const places = (extent: number): (number | null)[] => {
    const all = Array.from({ length: extent }, (_, i) => i);
    return isLong && extent > 2 * edge ? [...all.slice(0, edge), null, ...all.slice(-edge)] : all;
  };
  const shown: number[] = [];
  const collect = (axis: number, start: number): void => {
    if (axis === shape.length) shown.push(values[start]);
    else
      for (const i of places(shape[axis])) if (i !== null) collect(axis + 1, start + i * sizeOf(shape.slice(axis + 1)));
  };
  collect(0, 0);
  const text = formatter(shown, values instanceof Int32Array);
  const width = Math.max(0, ...shown.map((value) => text(value).length));
  const write = (axis: number, start: number): string => {
    if (axis === shape.length) return text(values[start]).padStart(width);
    const inner = sizeOf(shape.slice(axis + 1));
    const parts = places(shape[axis]).map((i) => (i === null ? '…' : write(axis + 1, start + i * inner)));
    return `[${parts.join(axis === shape.length - 1 ? ', ' : `,\n${' '.repeat(axis + 1)}`)}]`;
  };
  return write(0, 0);
}

/** Whole numbers as they are; else four decimals, or an exponent where these would hide much. */
function formatter(values: readonly number[], isInteger: boolean): (value: number) => string {
  const finite = values.filter(Number.isFinite);
  if (isInteger || finite.every((value) => Number.isInteger(value) && Math.abs(value) < 1e7)) return String;
  const sizes = finite.map(Math.abs).filter((size) => size > 0);
  const isPlain = Math.max(...sizes) < 1e5 && Math.min(...sizes) >= 1e-4;
  return (value) => (Number.isFinite(value) ? (isPlain ? value.toFixed(4) : value.toExponential(4)) : String(value));
}
