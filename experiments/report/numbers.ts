/** Numbers and lists as the tables and sentences of the reports have them. */

import { absent } from '../../command/text-table.ts';

/** With a true minus sign, and no sign on zero: `fixed(-0.004, 2)` is `0.00`. */
export function fixed(value: number, decimals: number): string {
  if (!Number.isFinite(value)) return absent;
  const digits = Math.abs(value).toFixed(decimals);
  return value < 0 && Number(digits) !== 0 ? `−${digits}` : digits;
}

/** As `fixed`, with a plus before what is above zero. */
export function signed(value: number, decimals: number): string {
  const digits = fixed(value, decimals);
  return value > 0 && Number(digits) !== 0 ? `+${digits}` : digits;
}

/** `a, b and c`. */
export function listed(items: readonly string[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}

/** `1 run`, `2 runs`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Groups in the order of their first members. */
export function grouped<T, Key>(items: readonly T[], keyOf: (item: T) => Key): [Key, T[]][] {
  const groups = new Map<Key, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return [...groups];
}
