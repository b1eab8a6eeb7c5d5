/** Where the boxes of the graph stand, and the ways between them. */
import type { DrawnGraph, DrawnNode } from '../protocol.ts';

export const box = { width: 86, height: 34, columnGap: 16, rowGap: 14 };

/** The upper left corner of a box. */
export interface Place {
  x: number;
  y: number;
}

export interface Layout {
  places: ReadonlyMap<string, Place>;
  /** One for each block, and one for what follows them. */
  rows: readonly { title: string; y: number }[];
  width: number;
  height: number;
}

/** A row of lanes for each block, columns in the order of computation. */
export function layOut({ nodes, edges }: Pick<DrawnGraph, 'nodes' | 'edges'>): Layout {
  const depth = new Map<string, number>();
  const depthOf = ({ id }: DrawnNode) => depth.get(id) ?? 0;
  // Nodes come in an order in which each follows what it was computed from.
  for (const { id } of nodes) {
    const before = edges.filter(([, to]) => to === id).map(([from]) => depth.get(from) ?? 0);
    depth.set(id, before.length === 0 ? 0 : 1 + Math.max(...before));
  }
  const lastBlock = Math.max(...nodes.map(({ block }) => block ?? 0));
  const deepest = Math.max(...nodes.filter(({ block }) => block === lastBlock).map(depthOf));
  /** Before the blocks stands with block 0, what follows them in a row of its own. */
  const rowOf = (node: DrawnNode) => node.block ?? (depthOf(node) > deepest ? lastBlock + 1 : 0);
  const places = new Map<string, Place>();
  const rows: { title: string; y: number }[] = [];
  let [top, width] = [0, 0];
  for (let row = 0; row <= lastBlock + 1; row++) {
    const own = nodes.filter((node) => rowOf(node) === row);
    if (own.length === 0) continue;
    rows.push({ title: row > lastBlock ? 'after the blocks' : `block ${row}`, y: top });
    const first = Math.min(...own.map(depthOf));
    const taken = new Map<number, number>();
    for (const node of own) {
      const column = depthOf(node) - first;
      const lane = taken.get(column) ?? 0;
      taken.set(column, lane + 1);
      const x = column * (box.width + box.columnGap);
      places.set(node.id, { x, y: top + lane * (box.height + box.rowGap) });
      width = Math.max(width, x + box.width);
    }
    top += Math.max(...taken.values()) * (box.height + box.rowGap) + 2 * box.rowGap;
  }
  return { places, rows, width, height: top };
}

/** The path of an edge. */
export function way(from: Place, to: Place): string {
  const [x1, y1] = [from.x + box.width, from.y + box.height / 2];
  const [x2, y2] = [to.x, to.y + box.height / 2];
  if (x2 > x1 && (x2 - x1 < 2 * box.columnGap || y1 !== y2)) {
    const bend = Math.min(40, (x2 - x1) / 2);
    return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  }
  if (x2 > x1) {
    // Over what stands between.
    const over = from.y - box.rowGap * 0.6;
    const [start, end] = [from.x + box.width / 2, x2 + box.width / 2];
    return `M${start} ${from.y}C${start} ${over} ${x1} ${over} ${x1 + 8} ${over}H${x2 - 8}C${end} ${over} ${end} ${over} ${end} ${to.y}`;
  }
  // Into the row below.
  const between = to.y - box.rowGap;
  return `M${x1} ${y1}C${x1 + 12} ${y1} ${x1 + 12} ${between} ${x1 - 8} ${between}H${x2 - 2}C${x2 - 12} ${between} ${x2 - 12} ${y2} ${x2} ${y2}`;
}
