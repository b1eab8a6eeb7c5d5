/** What a rule watched in one run, and the two pictures of it: the signals, and what still learns. */

import { barX, dot, line, rect, ruleX, ruleY, text } from '@observablehq/plot';
import { palette } from './palette.ts';
import { drawPanels, overSteps } from './panels.ts';

export interface Sample {
  step: number;
  value: number;
}

/** One weight matrix, or what else the registry can freeze. */
export interface Place {
  name: string;
  kind: string;
  block: number | null;
}

export interface Freeze extends Place {
  step: number;
  /** What the rule saw; null where the parameter followed another or a list said so. */
  value: number | null;
}

export interface WatchedRun {
  /** Steps of the schedule, and steps run. */
  scheduleSteps: number;
  steps: number;
  freezes: readonly Freeze[];
  /** What a rule watched at some of its checks, and the threshold; empty and null where nothing was watched. */
  signals: readonly (Place & { samples: readonly Sample[] })[];
  threshold: number | null;
}

/**
 * The signal of every matrix over the steps, a panel each: a row a block, the runs over one another. A single run has the
 * steps of its freezes written beside them.
 *
 * @param graceSteps - nothing may freeze before.
 */
export function drawSignals(title: string, runs: readonly WatchedRun[], graceSteps: number | null = null): string {
  const single = runs.length === 1;
  const places = placesOf(runs).filter(({ each }) => each.some(({ samples }) => samples.some(isKnown)));
  const totalSteps = Math.max(...runs.map(({ scheduleSteps }) => scheduleSteps));
  const matrices = places.flatMap(({ each }) => each);
  const thresholds = [...new Set(runs.map(({ threshold }) => threshold).filter((value) => value !== null))];
  const values = matrices.flatMap(({ samples }) => samples.filter(isKnown).map(({ value }) => value));
  const top = 1.18 * [...values, ...thresholds].reduce((a, b) => Math.max(a, b), 0);
  const blocks = new Set(places.map(({ block }) => block)).size;
  return drawPanels({
    title,
    description: freezesInWords(matrices),
    legend: [
      { colour: palette.live, words: single ? 'learning' : 'learning, a line a seed', sample: 'line' },
      { colour: palette.muted, words: `threshold ${thresholds.join(', ')}`, sample: 'dashes' },
      { colour: palette.frozen, words: single ? 'frozen, at this step' : 'frozen', sample: 'asterisk' },
      ...(single ? [{ colour: palette.ice, words: 'out of the backward graph', sample: 'ground' as const }] : []),
      ...(graceSteps === null
        ? []
        : [{ colour: palette.muted, words: `nothing may freeze before ${graceSteps}`, sample: 'dots' as const }]),
    ],
    columns: Math.max(1, ...places.map(({ block }) => places.filter((place) => place.block === block).length)),
    ...overSteps,
    left: 34,
    panels: places.map(({ label, each }) => {
      const freezes = each.flatMap(({ name, frozen, end }) => (frozen ? [{ ...frozen, name, end }] : []));
      const late = freezes.some(({ step }) => step > 0.6 * totalSteps);
      return {
        name: label,
        x: { domain: [0, totalSteps] },
        y: { domain: [0, top] },
        height: blocks <= 4 ? 110 : 70,
        marks: [
          single ? rect(freezes, { x1: 'step', x2: 'end', y1: 0, y2: top, fill: palette.ice }) : null,
          graceSteps === null ? null : ruleX([graceSteps], { stroke: palette.muted, strokeDasharray: '1 3' }),
          ruleY(thresholds, { stroke: palette.muted, strokeDasharray: '4 3' }),
          each.map(({ name, samples }) =>
            line(samples.filter(isKnown), {
              title: () => name,
              x: 'step',
              y: 'value',
              stroke: palette.live,
              strokeWidth: single ? 1.6 : 1,
            }),
          ),
          ruleX(freezes, {
            x: 'step',
            y1: single ? 0.9 * top : 0,
            y2: 'value',
            stroke: palette.frozen,
            strokeOpacity: 0.6,
          }),
          dot(freezes, {
            x: 'step',
            y: 'value',
            symbol: 'asterisk',
            r: single ? 5 : 4,
            stroke: palette.frozen,
            strokeWidth: 1.7,
            title: ({ name, step }: (typeof freezes)[number]) => `${name} frozen at step ${step}`,
          }),
          single
            ? text(freezes, {
                x: 'step',
                y: top,
                text: 'step',
                dy: 9,
                dx: late ? 4 : -4,
                textAnchor: late ? 'end' : 'start',
                fill: palette.frozen,
                fontWeight: 600,
              })
            : null,
        ],
      };
    }),
  });
}

/**
 * A bar a matrix, a panel a task: warm while it learns, the fainter the fewer of the runs still train it, and cold from the
 * freeze to the end of the last run. A single run has the steps of its freezes written on the bars.
 */
export function drawAlive(title: string, tasks: readonly { name: string; runs: readonly WatchedRun[] }[]): string {
  const single = tasks.every(({ runs }) => runs.length === 1);
  const rows = placesOf(tasks.flatMap(({ runs }) => runs)).map(({ label }) => label);
  const all = placesOf(tasks.flatMap(({ runs }) => runs)).flatMap(({ each }) => each);
  return drawPanels({
    title,
    description: freezesInWords(all),
    legend: [
      {
        colour: palette.live,
        words: single ? 'learning' : 'learning; the fainter, the fewer of the seeds',
        sample: 'ground',
      },
      { colour: palette.ice, words: 'frozen, out of the backward graph', sample: 'ground' },
    ],
    ...overSteps,
    ...(tasks.length === 1 && { xTicks: 8 }),
    panels: tasks.map(({ name, runs }) => {
      const totalSteps = Math.max(...runs.map(({ scheduleSteps }) => scheduleSteps));
      const end = Math.max(...runs.map(({ steps }) => steps));
      const bars = placesOf(runs).flatMap(({ label, each }) => {
        const ends = each.map(({ frozen, end }) => frozen?.step ?? end).sort((a, b) => a - b);
        const words = `${label}, ${name}: learns until ${ends.join(', ')}`;
        return ends.map((until, index) => ({
          label,
          words,
          from: ends[index - 1] ?? 0,
          until,
          share: (0.9 * (ends.length - index)) / ends.length,
          written: each[0]?.frozen ? `${until}` : 'not frozen',
        }));
      });
      const isLate = ({ until }: { until: number }) => until > 0.9 * totalSteps;
      const written = { x: 'until', y: 'label', text: 'written', fontWeight: 600 } as const;
      return {
        name,
        x: { domain: [0, totalSteps] },
        y: { domain: rows, padding: 0.16 },
        height: rows.length * (tasks.length === 1 ? 20 : Math.max(11, Math.min(14, 320 / rows.length))),
        marks: [
          barX(rows, {
            x1: 0,
            x2: end,
            y: (row: string) => row,
            fill: palette.ice,
            stroke: palette.frozen,
            strokeWidth: 0.5,
          }),
          barX(bars, { x1: 'from', x2: 'until', y: 'label', fill: palette.live, fillOpacity: 'share', title: 'words' }),
          single
            ? [
                text(bars.filter(isLate), { ...written, textAnchor: 'end', dx: -6, fill: palette.paper }),
                text(
                  bars.filter((bar) => !isLate(bar)),
                  { ...written, textAnchor: 'start', dx: 6, fill: palette.frozen },
                ),
              ]
            : null,
        ],
      };
    }),
  });
}

/** One matrix in one run, with its freeze where the rule made one. */
interface WatchedMatrix {
  name: string;
  samples: readonly Sample[];
  frozen?: Sample;
  /** The step at which the run ended. */
  end: number;
}

/** Each watched matrix once, in the order of the registry, with what became of it in each run. */
function placesOf(runs: readonly WatchedRun[]) {
  const found = new Map<string, { label: string; block: number | null; each: WatchedMatrix[] }>();
  for (const { steps: end, signals, freezes } of runs) {
    for (const { name, kind, block, samples } of signals) {
      const place = found.get(name) ?? { label: block === null ? kind : `block ${block}, ${kind}`, block, each: [] };
      const frozen = freezes.flatMap(({ name: other, step, value }) =>
        other === name && value !== null ? [{ step, value }] : [],
      )[0];
      place.each.push({ name, samples, frozen, end });
      found.set(name, place);
    }
  }
  return [...found.values()];
}

function freezesInWords(matrices: readonly WatchedMatrix[]): string {
  const places = matrices.flatMap(({ name, frozen }) => (frozen ? [`${name} at step ${frozen.step}`] : []));
  const head = `${places.length} of ${matrices.length} frozen`;
  return places.length > 0 && places.length <= 20 ? `${head}: ${places.join(', ')}` : head;
}

function isKnown({ value }: Sample): boolean {
  return Number.isFinite(value);
}
