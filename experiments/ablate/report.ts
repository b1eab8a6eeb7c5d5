import { type Document, documentPage, documentPictures, type Picture } from '../report/sections.ts';
import { type Grid, gridsOf } from './grid.ts';
import { drawHeatMap } from './report/heat-map.ts';
import type { Ablation } from './results.ts';
import { gridSections, heading, nameOf, quantitiesSections } from './tables.ts';

/** One HTML file without scripts that needs no other. */
export function reportPage(ablation: Ablation): string {
  return documentPage(wholeDocument(ablation));
}

/** The page's pictures as SVG files by their names, each on a white ground. */
export function pictures(ablation: Ablation): Record<string, string> {
  return documentPictures(wholeDocument(ablation));
}

function wholeDocument(ablation: Ablation): Document {
  const grids = gridsOf(ablation);
  return {
    ...heading(ablation),
    parts: [...grids.flatMap((grid) => [heatMap(ablation, grid), ...gridSections(grid)]), ...quantitiesSections(grids)],
  };
}

function heatMap({ kind, task }: Ablation, grid: Grid): Picture {
  const name = `Threshold τ and grace α: ${nameOf(grid)}, on ${task}`;
  return {
    file: `ablation-${fileWord(grid.quantity)}-${fileWord(grid.scale)}.svg`,
    heading: name,
    caption: 'Means over the seeds. A dashed cell was not run.',
    draw: (palette) => drawHeatMap(kind === 'smoke' ? `${name} (smoke run, not evidence)` : name, grid, palette),
  };
}

function fileWord(words: string): string {
  return words.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
}
