import type { Palette } from '../../report/palette.ts';
import { panelColumns } from '../../report/panels.ts';
import { framedPicture, label, PICTURE_WIDTH, round } from '../../report/picture.ts';
import { escapeMarkup } from '../../report/svg.ts';
import { inDrawingOrder } from '../kinds.ts';
import type { ArmResult } from '../results.ts';
import { byTask } from '../statistics.ts';

const LEFT = 112;
const RIGHT = 16;
const GAP = 18;
const HEAD = 24;
const FOOT = 30;

interface Row {
  name: string;
  kind: string;
  block: number | null;
}

/**
 * Which matrices are alive: a row a matrix, time as a share of the schedule, a panel a task. The warmer, the more of the
 * seeds still train it; what is frozen is icy until the last seed's run ends.
 */
export function drawAlive(title: string, runs: readonly ArmResult[], palette: Palette): string {
  const rows = rowsOf(runs);
  const tasks = byTask(runs);
  const columns = panelColumns(tasks.length);
  const gridRows = Math.ceil(tasks.length / columns);
  const rowHeight = Math.max(9.5, Math.min(13, 300 / rows.length));
  const blockGap = 4;
  const offsets = rows.map(
    (_, index) => index * rowHeight + blockGap * new Set(rows.slice(0, index + 1).map(({ block }) => block)).size,
  );
  const bodyHeight = (offsets.at(-1) ?? 0) + rowHeight + blockGap;
  const panelHeight = HEAD + bodyHeight + FOOT;
  const width = (PICTURE_WIDTH - LEFT - RIGHT - (columns - 1) * GAP) / columns;

  const panel = ([task, ofTask]: [string, ArmResult[]], x: number, y: number): string => {
    const end = Math.max(...ofTask.map(({ steps, scheduleSteps }) => steps / scheduleSteps));
    const at = (share: number) => round(x + share * width);
    const bars = rows.map(({ name }, index) => {
      const top = round(y + HEAD + offsets[index]!);
      const bar = (from: number, to: number, fill: string, opacity = 1) =>
        `<rect x="${at(from)}" y="${top}" width="${round((to - from) * width)}" height="${round(rowHeight - 1.2)}" fill="${fill}" fill-opacity="${Math.round(100 * opacity) / 100}"/>`;
      const ends = ofTask.map((run) => lifeOf(run, name)).sort((a, b) => a - b);
      const spans = ends.map((until, position) => ({
        from: position === 0 ? 0 : ends[position - 1]!,
        until,
        alive: (ends.length - position) / ends.length,
      }));
      const words = `${name} on ${task}: learns until ${ends.map((until) => until.toFixed(2)).join(', ')} of the schedule`;
      return (
        `<g><title>${escapeMarkup(words)}</title>${bar(0, end, palette.ice)}` +
        `${spans
          .filter(({ from, until }) => until > from)
          .map(({ from, until, alive }) => bar(from, until, palette.live, 0.9 * alive))
          .join('')}</g>`
      );
    });
    const ticks = [0, 0.5, 1].map((share) =>
      label(at(share), y + HEAD + bodyHeight + 14, String(share), palette.muted, { anchor: 'middle' }),
    );
    const outline = `<rect x="${round(x)}" y="${y + HEAD}" width="${round(width)}" height="${round(bodyHeight)}" fill="none" stroke="${palette.line}"/>`;
    return (
      `<g>${outline}${bars.join('')}${ticks.join('')}` +
      `<text x="${round(x)}" y="${y + 16}" font-size="12" font-weight="600" fill="${palette.ink}">${escapeMarkup(task)}</text></g>`
    );
  };

  const rowLabels = (y: number): string =>
    rows
      .map(({ kind, block }, index) => {
        const middle = y + HEAD + offsets[index]! + rowHeight / 2 + 3;
        const first = index === 0 || rows[index - 1]!.block !== block;
        const blockLabel = first
          ? label(16, middle, block === null ? 'no block' : `block ${block}`, palette.ink, { size: 11 })
          : '';
        return blockLabel + label(LEFT - 8, middle, kind, palette.muted, { anchor: 'end', size: 9.5 });
      })
      .join('');

  return framedPicture(
    {
      title,
      legend: [
        { colour: palette.live, words: 'learning; the fainter, the fewer of the seeds', sample: 'ground' },
        { colour: palette.ice, words: 'frozen', sample: 'ground' },
      ],
      height: gridRows * panelHeight + 14,
      palette,
    },
    (top) =>
      Array.from({ length: gridRows }, (_, gridRow) => rowLabels(top + gridRow * panelHeight)).join('') +
      tasks
        .map((task, index) =>
          panel(task, LEFT + (index % columns) * (width + GAP), top + Math.floor(index / columns) * panelHeight),
        )
        .join('') +
      label(
        PICTURE_WIDTH - RIGHT,
        top + gridRows * panelHeight + 6,
        'time as a share of the schedule →',
        palette.muted,
        {
          anchor: 'end',
        },
      ),
  );
}

/** Every matrix that was watched in any run, not what only follows: block by block, in the usual order of kinds. */
function rowsOf(runs: readonly ArmResult[]): Row[] {
  const found = new Map<string, Row>();
  for (const { freezes, signals } of runs) {
    const watched = [...signals, ...freezes.filter(({ value }) => value !== null)];
    for (const { name, kind, block } of watched) found.set(name, { name, kind, block });
  }
  const kinds = inDrawingOrder([...found.values()].map(({ kind }) => kind));
  return [...found.values()].sort(
    (a, b) =>
      lastIfNone(a.block) - lastIfNone(b.block) ||
      kinds.indexOf(a.kind) - kinds.indexOf(b.kind) ||
      a.name.localeCompare(b.name),
  );
}

/** When a matrix was frozen, or its run ended, as a share of the schedule. */
function lifeOf({ freezes, steps, scheduleSteps }: ArmResult, name: string): number {
  return (freezes.find((freeze) => freeze.name === name)?.step ?? steps) / scheduleSteps;
}

function lastIfNone(block: number | null): number {
  return block ?? Number.MAX_SAFE_INTEGER;
}
