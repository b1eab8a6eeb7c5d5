/** How an arm looks in every picture: one colour and one mark for what it does, so that colour is never alone. */

import type { SymbolType } from '@observablehq/plot';
import { grouped } from './numbers.ts';
import { palette } from './palette.ts';
import type { LegendEntry } from './picture.ts';

interface Group {
  words: string;
  colour: keyof typeof palette;
  symbol: SymbolType;
  holds(arm: string): boolean;
}

const controls = ['short-cosine', 'short-cosine-2x', 'all-at-once', 'random-matrices', 'reversed', 'plateau'];

const groups: readonly Group[] = [
  { words: 'to the end', colour: 'ink', symbol: 'circle', holds: (arm) => /^(full|lora|null)$|to-the-end$/.test(arm) },
  { words: 'early stopping', colour: 'frozen', symbol: 'square', holds: (arm) => /[+-]stopping/.test(arm) },
  {
    words: 'control',
    colour: 'muted',
    symbol: 'triangle',
    holds: (arm) => controls.some((control) => arm.endsWith(control)) || /plain[- ]stop$/.test(arm),
  },
  {
    words: 'GradES',
    colour: 'live',
    symbol: 'star',
    holds: (arm) => /(^|\+)grades(-from-below|-by-block|-without-cache)?$/i.test(arm),
  },
  { words: 'the paper’s rules', colour: 'violet', symbol: 'diamond', holds: (arm) => /paper|released/.test(arm) },
  { words: 'another rule', colour: 'green', symbol: 'wye', holds: () => true },
];

/** Names of arms are those of the options; the rule is written as its authors write it. */
export function armLabel(arm: string): string {
  return arm.replace(/(^|\+)grades(?=$|-)/, '$1GradES');
}

export function isAdapted(arm: string): boolean {
  return arm.startsWith('lora');
}

export function armStyle(arm: string): { colour: string; symbol: SymbolType } {
  const { colour, symbol } = groups.find((group) => group.holds(arm))!;
  return { colour: palette[colour], symbol };
}

/**
 * What is drawn in one panel: a task of the arms that train all weights, or of those that train adapters. The two lose and
 * cost so differently that one axis would hide the smaller differences.
 */
export function byTaskAndFamily<T extends { arm: string; task?: string }>(
  items: readonly T[],
): { name: string; members: T[] }[] {
  const nameOf = ({ arm, task }: T) =>
    isAdapted(arm) ? (task === undefined ? 'LoRA' : `${task}, LoRA`) : (task ?? 'all weights');
  const allWeightsFirst = items.toSorted((a, b) => Number(isAdapted(a.arm)) - Number(isAdapted(b.arm)));
  return grouped(allWeightsFirst, nameOf).map(([name, members]) => ({ name, members }));
}

/** One entry for each group that is present. */
export function armLegend(items: readonly { arm: string }[]): LegendEntry[] {
  const present = new Set(items.map(({ arm }) => groups.find((group) => group.holds(arm))));
  return groups
    .filter((group) => present.has(group))
    .map(({ words, colour, symbol }) => ({ words, colour: palette[colour], sample: symbol }));
}
