/**
 * Draws docs/results/split-half.svg: why the size of a gradient does not tell when a matrix has converged, and the product of two
 * halves does. The gradient is made up, 64 numbers that fade to zero, so that the truth is known.
 */
import { writeFileSync } from 'node:fs';
import { line, text } from '@observablehq/plot';
import { onWhite, palette } from '../experiments/report/palette.ts';
import { drawPanels } from '../experiments/report/panels.ts';
import { Random, RunningAverage } from '../src/index.ts';

const STEPS = 400;
const NUMBERS = 64;
/** Standard deviation of the noise in the gradient of half a batch; the true entries begin at 2. */
const NOISE = 1;

const random = new Random(1);
const average = new RunningAverage(0.08 * STEPS);
const points = Array.from({ length: STEPS }, (_, i) => {
  const truth = 2 * Math.exp(-i / 60);
  let batch = 0;
  let product = 0;
  for (let n = 0; n < NUMBERS; n++) {
    const [a, b] = [truth + NOISE * random.normal(), truth + NOISE * random.normal()];
    batch += ((a + b) / 2) ** 2;
    product += a * b;
  }
  const agreed = average.observe(i + 1, product);
  return {
    step: i + 1,
    truth: truth * Math.sqrt(NUMBERS),
    batch: Math.sqrt(batch),
    splitHalf: agreed === null ? Number.NaN : Math.sqrt(Math.max(0, agreed)),
  };
});

const curves = [
  { name: 'batch', words: 'size of the batch gradient', colour: palette.muted, sample: 'line' },
  { name: 'splitHalf', words: 'split-half signal, averaged over 32 steps', colour: palette.live, sample: 'line' },
  { name: 'truth', words: 'size of the true gradient', colour: palette.frozen, sample: 'dashes' },
] as const;

const svg = drawPanels({
  title: 'The noise of a batch hides that a matrix has converged',
  legend: curves,
  panels: [
    {
      name: 'size of the gradient over training steps',
      x: { domain: [0, STEPS] },
      y: { domain: [0, 20] },
      height: 260,
      marks: [
        ...curves.map(({ name, colour, sample }) =>
          line(points, {
            x: 'step',
            y: name,
            stroke: colour,
            strokeWidth: 2,
            strokeDasharray: sample === 'dashes' ? '6 4' : undefined,
          }),
        ),
        text([{ x: 330, y: 8.4 }], { x: 'x', y: 'y', text: ['only noise is left'], fill: palette.muted }),
      ],
    },
  ],
  columns: 1,
  xLabel: 'step',
  xTicks: () => [0, 100, 200, 300, 400],
  xFormat: String,
  yFormat: String,
});
writeFileSync(new URL('results/split-half.svg', import.meta.url), `${onWhite(svg)}\n`);
