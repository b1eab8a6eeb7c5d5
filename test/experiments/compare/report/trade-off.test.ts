import { expect, test } from 'vitest';
import { untangled } from '../../../../experiments/compare/report/trade-off.ts';
import { Random } from '../../../../src/index.ts';

interface Line {
  cost: number;
  points: number;
  at: number;
}

const side = 2;

/** On which side of a line a point lies. */
function sideOf({ cost, points, at }: Line, x: number, y: number): number {
  return Math.sign((side - cost) * (y - points) - (at - points) * (x - cost));
}

function crosses(a: Line, b: Line): boolean {
  return (
    sideOf(a, b.cost, b.points) * sideOf(a, side, b.at) < 0 && sideOf(b, a.cost, a.points) * sideOf(b, side, a.at) < 0
  );
}

test('no two of the lines from the marks to their names cross, and every name has a place of its own', () => {
  const random = new Random(3);
  for (let run = 0; run < 50; run++) {
    const points = Array.from({ length: 15 }, () => ({ cost: 0.5 + random.uniform(), points: random.normal() }));
    const lines = untangled(points, side, [-3, 3]);
    expect(lines.filter((a) => lines.some((b) => crosses(a, b)))).toEqual([]);
    expect(new Set(lines.map(({ at }) => at)).size).toBe(points.length);
  }
});

test('marks that share a place, or none, are no trouble', () => {
  const point = { cost: 1, points: 0 };
  expect(untangled([point, point], side, [-1, 1]).map(({ at }) => at)).toEqual([-0.5, 0.5]);
  expect(untangled([], side, [-1, 1])).toEqual([]);
});
