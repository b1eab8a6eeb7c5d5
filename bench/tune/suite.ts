import { ours } from '../implementations.ts';
import { gigaflops } from '../operation-report.ts';
import { operationSuite } from '../operation-suite.ts';
import type { Row } from '../row.ts';
import { median } from '../statistics.ts';
import { formatDevices } from '../step/report.ts';
import { textTable } from '../text-table.ts';

/** What another tile must gain over the table's, in the median over the shapes, before it is worth a change. */
const worthChanging = 1.1;

export const tuneSuite = operationSuite({
  name: 'tune',
  title: "tiles of the matrix product, the table's own and others",
  devices: ['webgpu'],
  hasPeers: false,
  format,
});

function format(rows: readonly Row[]): string {
  if (rows.length === 0) return '';
  const shapes = [...new Set(rows.map((row) => shapeOf(row)))];
  const tables = shapes.map((shape) => {
    const group = rows.filter((row) => shapeOf(row) === shape).toSorted((a, b) => a.median - b.median);
    const cells = group.map((row) => [tileOf(row), gigaflops(row), row.median.toFixed(2), row.min.toFixed(2)]);
    return `${shape}\n${textTable(['tile', 'GF/s', 'median ms', 'min'], cells)}`;
  });
  return [formatDevices(rows), ...tables, verdict(rows)].join('\n\n');
}

/** Which tile is the best over all shapes, each compared with the table's at the same shape. */
function verdict(rows: readonly Row[]): string {
  const inTable = rows.filter(isInTable);
  const gains = [...new Set(rows.map(tileOf))].map((tile) => {
    const ratios = inTable.flatMap((own) =>
      rows.flatMap((row) => (tileOf(row) === tile && shapeOf(row) === shapeOf(own) ? [own.median / row.median] : [])),
    );
    return { tile, gain: ratios.length > 0 ? median(ratios) : 0 };
  });
  const best = gains.reduce((a, b) => (b.gain > a.gain ? b : a));
  const where = 'src/autograd/operations/matmul/kernels.ts';
  return best.gain < worthChanging
    ? `The table in ${where} stands: no tile is faster by more than ${((worthChanging - 1) * 100).toFixed(0)} % here (${ours}).`
    : `${best.tile} is ${best.gain.toFixed(2)} times as fast as the table's here. For adapters of this kind, change ${where}.`;
}

function shapeOf({ case: name }: Row): string {
  return name.split(' | ')[0];
}

function tileOf({ case: name }: Row): string {
  return name.split(' | ')[1];
}

function isInTable(row: Row): boolean {
  return row.case.endsWith('(in the table)');
}
