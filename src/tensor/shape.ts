/** Arithmetic on shapes and strides. */
import { ArgumentError, ShapeError } from './errors.ts';

/** Sizes of the axes, outermost first. `[]` is a scalar. */
export type Shape = readonly number[];

/** Distance in elements between neighbours along each axis; 0 where one element is seen many times. */
export type Strides = readonly number[];

export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const extent of shape) size *= extent;
  return size;
}

export function rowMajorStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

export function isRowMajor(shape: Shape, strides: Strides): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return sizeOf(shape) === 0;
    expected *= shape[axis];
  }
  return true;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

export function formatShape(shape: Shape): string {
  return `[${shape.map((extent: unknown) => (Array.isArray(extent) ? `[${extent}]` : String(extent))).join(', ')}]`;
}

/** @throws ShapeError for what is no list, or holds other than whole numbers of at least 0. */
export function checkShape(operation: string, shape: Shape): void {
  checkShapeList(operation, shape);
  for (const extent of shape) {
    if (!Number.isInteger(extent) || extent < 0) {
      throw new ShapeError(`${operation}: shape ${formatShape(shape)} must hold whole numbers of at least 0`);
    }
  }
}

/** @throws ShapeError for what a caller without types may pass: extents one by one. */
export function checkShapeList(operation: string, shape: unknown): void {
  if (Array.isArray(shape)) return;
  throw new ShapeError(`${operation}: shape is ${shape} (allowed: a list of extents, such as [2, 3])`);
}

/** The axis counted from the front; negative axes count from the back. */
export function normalizeAxis(operation: string, axis: number, rank: number): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
    const shown = typeof axis === 'object' ? JSON.stringify(axis) : axis;
    throw new ArgumentError(
      `${operation}: axis ${shown} is outside -${rank} … ${rank - 1} of a tensor of rank ${rank}`,
    );
  }
  return axis < 0 ? axis + rank : axis;
}

/** The shape that both broadcast to: axes are aligned at the end, and an extent of 1 stretches. */
export function broadcastShapes(operation: string, ...shapes: Shape[]): number[] {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  const result = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    for (let i = 0; i < shape.length; i++) {
      const axis = rank - shape.length + i;
      if (shape[i] === 1) continue;
      if (result[axis] !== 1 && result[axis] !== shape[i]) {
        throw new ShapeError(
          `${operation}: shapes ${shapes.map(formatShape).join(' and ')} do not broadcast: ` +
            `axis ${axis} would need both ${result[axis]} and ${shape[i]} (allowed: equal sizes, or 1)`,
        );
      }
      result[axis] = shape[i];
    }
  }
  return result;
}

/** Strides that let a tensor of `shape` be read as if it had shape `target`: 0 along stretched axes. */
export function broadcastStrides(shape: Shape, strides: Strides, target: Shape): number[] {
  const offset = target.length - shape.length;
  return target.map((extent, axis) => {
    const own = axis - offset;
    return own < 0 || (shape[own] === 1 && extent !== 1) ? 0 : strides[own];
  });
}

/**
 * The same elements in the same order with as few axes as possible: axes of extent 1 vanish, and neighbours that every
 * operand walks in one stride merge. A dense tensor of any rank becomes one axis.
 */
export function collapseAxes(shape: Shape, operands: readonly Strides[]): { shape: number[]; operands: number[][] } {
  const collapsed: number[] = [];
  const strides: number[][] = operands.map(() => []);
  for (let axis = 0; axis < shape.length; axis++) {
    if (shape[axis] === 1) continue;
    const last = collapsed.length - 1;
    const merges = last >= 0 && operands.every((operand, i) => strides[i][last] === operand[axis] * shape[axis]);
    if (merges) {
      collapsed[last] *= shape[axis];
      for (let i = 0; i < operands.length; i++) strides[i][last] = operands[i][axis];
    } else {
      collapsed.push(shape[axis]);
      for (let i = 0; i < operands.length; i++) strides[i].push(operands[i][axis]);
    }
  }
  return { shape: collapsed, operands: strides };
}
