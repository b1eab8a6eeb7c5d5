import type { Palette } from '../../report/palette.ts';
import type { LegendEntry } from '../../report/picture.ts';
import type { ArmName } from '../results.ts';

export type ArmGroup = 'plain' | 'stopping' | 'GradES' | 'control';

const groupNames: Record<ArmGroup, string> = {
  plain: 'to the end',
  stopping: 'early stopping',
  GradES: 'GradES',
  control: 'control',
};

export function groupOf(arm: ArmName): ArmGroup {
  if (arm.endsWith('+grades')) return 'GradES';
  if (arm.includes('+stopping')) return 'stopping';
  return arm === 'full' || arm === 'lora' || arm === 'null' ? 'plain' : 'control';
}

export function isAdapted(arm: ArmName): boolean {
  return arm.startsWith('lora');
}

export function armColour(arm: ArmName, palette: Palette): string {
  return {
    plain: palette.ink,
    stopping: palette.frozen,
    GradES: palette.live,
    control: palette.muted,
  }[groupOf(arm)];
}

/** Colours by what an arm does, shapes by what it trains. */
export function armLegend(arms: readonly ArmName[], palette: Palette): LegendEntry[] {
  const groups = [...new Set(arms.map(groupOf))];
  const representative = (group: ArmGroup) => arms.find((arm) => groupOf(arm) === group)!;
  return [
    ...groups.map((group) => ({
      colour: armColour(representative(group), palette),
      words: groupNames[group],
      sample: 'ground' as const,
    })),
    ...(arms.some(isAdapted)
      ? [
          { colour: palette.muted, words: 'all weights', sample: 'dot' as const },
          { colour: palette.muted, words: 'LoRA', sample: 'triangle' as const },
        ]
      : []),
  ];
}
