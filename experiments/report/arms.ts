/** How an arm looks in every picture: one colour and one mark for what it does, so that colour is never alone. */

import type { SymbolType } from '@observablehq/plot';
import type { Palette } from './palette.ts';
import type { LegendEntry } from './picture.ts';

interface Group {
  words: string;
  colour: keyof Palette;
  symbol: SymbolType;
  holds(arm: string): boolean;
}

const controls = ['short-cosine', 'short-cosine-2x', 'all-at-once', 'random-matrices', 'reversed', 'plateau'];

const groups: readonly Group[] = [
  { words: 'to the end', colour: 'ink', symbol: 'circle', holds: (arm) => ['full', 'lora', 'null'].includes(arm) },
  { words: 'early stopping', colour: 'frozen', symbol: 'square', holds: (arm) => arm.includes('+stopping') },
  {
    words: 'control',
    colour: 'muted',
    symbol: 'triangle',
    holds: (arm) => controls.some((control) => arm.endsWith(control)) || /plain[- ]stop$/.test(arm),
  },
  { words: 'GradES', colour: 'live', symbol: 'star', holds: (arm) => /(^|\+)grades$/i.test(arm) },
  { words: 'the paper’s rules', colour: 'violet', symbol: 'diamond', holds: (arm) => /paper|released/.test(arm) },
  { words: 'another rule', colour: 'green', symbol: 'wye', holds: () => true },
];

/** Names of arms are those of the options; the rule is written as its authors write it. */
export function armLabel(arm: string): string {
  return arm.replace(/(^|\+)grades$/, '$1GradES');
}

export function isAdapted(arm: string): boolean {
  return arm.startsWith('lora');
}

export function armStyle(arm: string, palette: Palette): { colour: string; symbol: SymbolType } {
  const { colour, symbol } = groups.find((group) => group.holds(arm))!;
  return { colour: palette[colour], symbol };
}

/** One entry for each group that is present. */
export function armLegend(arms: readonly string[], palette: Palette): LegendEntry[] {
  const present = new Set(arms.map((arm) => groups.find((group) => group.holds(arm))));
  return groups
    .filter((group) => present.has(group))
    .map(({ words, colour, symbol }) => ({ words, colour: palette[colour], sample: symbol }));
}
