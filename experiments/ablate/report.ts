/** The page of an ablation: a heat map and its tables for each signal that was watched. */

import { type Document, documentPage, documentPictures, markedAsSmoke, type Picture } from '../report/sections.ts';
import { type Grid, gridsOf } from './grid.ts';
import { drawHeatMap } from './report/heat-map.ts';
import type { Ablation } from './results.ts';
import { gridSections, heading, nameOf, signalsSections } from './tables.ts';

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
  const document = {
    ...heading(ablation),
    summary: signalsSections(grids),
    parts: grids.flatMap((grid) => [heatMap(ablation, grid), ...gridSections(grid)]),
  };
  return ablation.kind === 'smoke' ? markedAsSmoke(document) : document;
}

function heatMap({ task }: Ablation, grid: Grid): Picture {
  return {
    file: `ablation-${nameOf(grid).replaceAll(/[^a-z0-9]+/g, '-')}.svg`,
    heading: `Threshold τ and grace α: ${nameOf(grid)}, on ${task}`,
    caption: 'Means over the seeds. A dashed cell was not run.',
    draw: (title, palette) => drawHeatMap(title, grid, palette),
  };
}
