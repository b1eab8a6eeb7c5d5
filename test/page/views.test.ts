/** What the views compute without a document: where boxes stand, and what the tour points at. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Engine } from '../../page/engine.ts';
import type { DrawnGraph, Message } from '../../page/protocol.ts';
import { usualSettings } from '../../page/settings.ts';
import { stops } from '../../page/stops.ts';
import { box, layOut } from '../../page/views/layout.ts';
import { openDevice } from '../../src/index.ts';

async function firstGraph(): Promise<DrawnGraph> {
  const graphs: DrawnGraph[] = [];
  const listen = (message: Message) => {
    if (message.type === 'graph') graphs.push(message.graph);
  };
  const engine = new Engine(await openDevice('cpu'), usualSettings, { text: '', files: [] }, listen);
  await engine.begin();
  await engine.advance();
  return graphs[0];
}

test('in the drawing no box covers another, and each edge leads onward', async () => {
  const graph = await firstGraph();
  const { places, rows, width, height } = layOut(graph);
  expect(places.size).toBe(graph.nodes.length);
  expect(rows.map(({ title }) => title)).toEqual(['block 0', 'block 1', 'after the blocks']);
  const at = (id: string) => places.get(id) ?? { x: Number.NaN, y: Number.NaN };
  for (const { id } of graph.nodes) {
    const { x, y } = at(id);
    expect(x >= 0 && x + box.width <= width && y >= 0 && y + box.height <= height, id).toBe(true);
    for (const { id: other } of graph.nodes) {
      const [dx, dy] = [Math.abs(at(other).x - x), Math.abs(at(other).y - y)];
      if (other !== id) expect(dx > box.width || dy > box.height, `${id} and ${other}`).toBe(true);
    }
  }
  const rowOf = (id: string) => rows.findLastIndex(({ y }) => y <= at(id).y);
  for (const [from, to] of graph.edges) {
    const goes = rowOf(from) === rowOf(to) ? at(to).x - at(from).x : rowOf(to) - rowOf(from);
    expect(goes, `${from} → ${to}`).toBeGreaterThan(0);
  }
});

test('the tour has seven stops, and each finds its lines and its part of the page', () => {
  const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');
  const [page, tour] = [read('page/index.html'), read('page/tour.ts')];
  expect(stops).toHaveLength(7);
  for (const { about, source } of stops) {
    expect(page).toContain(`id="${about}"`);
    expect(tour).toContain(`'../${source.path}'`);
    const lines = read(source.path).split('\n');
    const first = lines.findIndex((line) => line.includes(source.from));
    expect(first, `${source.path}: ${source.from}`).toBeGreaterThanOrEqual(0);
    expect(first + source.lines, source.path).toBeLessThanOrEqual(lines.length);
  }
});
