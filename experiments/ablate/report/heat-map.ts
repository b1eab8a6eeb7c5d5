import { fixed, signed } from '../../report/numbers.ts';
import type { Palette } from '../../report/palette.ts';
import { framedPicture, label, PICTURE_WIDTH, round } from '../../report/picture.ts';
import { type Cell, cellsOf, type Grid } from '../grid.ts';

const LEFT = 62;
const GAP = 62;
const RIGHT = 16;
const HEAD = 44;
const CELL_HEIGHT = 34;
/** Fainter than the text that stands on it. */
const DEEPEST = 0.6;

interface Panel {
  heading: string;
  words: (cell: Cell) => string;
  colour: (cell: Cell) => string;
  /** From 0 to 1. */
  depth: (cell: Cell) => number;
}

/** Thresholds down, graces across: what it costs in accuracy, what is left of the operations, and the time if known. */
export function drawHeatMap(title: string, grid: Grid, palette: Palette): string {
  const cells = cellsOf(grid);
  const steepest = Math.max(1, ...cells.map(({ difference }) => Math.abs(difference)));
  const seconds = cells.map((cell) => cell.seconds).filter((each) => each !== null);
  const slowest = Math.max(...seconds);
  const fewest = Math.min(1, ...cells.map(({ operationsRatio }) => operationsRatio));
  const maps: Panel[] = [
    {
      heading: 'accuracy minus full, points',
      words: ({ difference }) => signed(difference, 2),
      colour: ({ difference }) => (difference < 0 ? palette.live : palette.frozen),
      depth: ({ difference }) => Math.abs(difference) / steepest,
    },
    {
      heading: 'operations over full',
      words: ({ operationsRatio }) => fixed(operationsRatio, 2),
      colour: () => palette.frozen,
      depth: ({ operationsRatio }) => (1 - operationsRatio) / Math.max(0.01, 1 - fewest),
    },
    ...(seconds.length > 0
      ? [
          {
            heading: 'seconds',
            words: ({ seconds: each }: Cell) => (each === null ? '' : fixed(each, 0)),
            colour: () => palette.frozen,
            depth: ({ seconds: each }: Cell) => (each === null ? 0 : 1 - each / slowest),
          },
        ]
      : []),
  ];
  const width = (PICTURE_WIDTH - LEFT - RIGHT - (maps.length - 1) * GAP) / maps.length;
  const cellWidth = Math.min(110, width / grid.graces.length);
  return framedPicture(
    {
      title,
      legend: [
        { colour: palette.live, words: 'less accurate than full training', sample: 'ground' },
        { colour: palette.frozen, words: 'more accurate, or cheaper', sample: 'ground' },
      ],
      height: HEAD + grid.thresholds.length * CELL_HEIGHT + 14,
      palette,
    },
    (top) =>
      maps.map((map, index) => drawMap(grid, map, LEFT + index * (width + GAP), top, cellWidth, palette)).join(''),
  );
}

function drawMap(grid: Grid, map: Panel, x: number, top: number, cellWidth: number, palette: Palette): string {
  const y = top + HEAD;
  const columnNames = grid.graces.map((grace, column) =>
    label(x + (column + 0.5) * cellWidth, y - 6, `α ${grace}`, palette.muted, { anchor: 'middle' }),
  );
  const rows = grid.thresholds.map((threshold, row) => {
    const rowY = y + row * CELL_HEIGHT;
    const name = label(x - 6, rowY + CELL_HEIGHT / 2 + 4, `τ ${threshold}`, palette.muted, { anchor: 'end' });
    const squares = grid.cells[row]!.map((cell, column) => {
      const cellX = round(x + column * cellWidth);
      const frame = `x="${cellX}" y="${rowY}" width="${round(cellWidth - 2)}" height="${CELL_HEIGHT - 2}"`;
      if (!cell) return `<rect ${frame} fill="none" stroke="${palette.line}" stroke-dasharray="2 3"/>`;
      const depth = Math.round(100 * DEEPEST * Math.min(1, Math.max(0, map.depth(cell)))) / 100;
      return (
        `<rect ${frame} fill="${map.colour(cell)}" fill-opacity="${depth}" stroke="${palette.line}"/>` +
        label(cellX + cellWidth / 2 - 1, rowY + CELL_HEIGHT / 2 + 3, map.words(cell), palette.ink, { anchor: 'middle' })
      );
    });
    return name + squares.join('');
  });
  return label(x, top + 14, map.heading, palette.ink) + columnNames.join('') + rows.join('');
}
