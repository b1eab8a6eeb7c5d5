/** Items of a classification: tokens and the index of a class for each. */

export interface Items {
  /** The tokens of all items, end to end; each item has as many. */
  readonly tokens: Int32Array<ArrayBuffer>;
  readonly labels: Int32Array<ArrayBuffer>;
  readonly count: number;
}

/** @param list - at least one item, all of one length. */
export function itemsOf(list: readonly { tokens: ArrayLike<number>; label: number }[]): Items {
  const { length } = list[0].tokens;
  const tokens = new Int32Array(list.length * length);
  for (const [i, item] of list.entries()) tokens.set(item.tokens, i * length);
  return { tokens, labels: Int32Array.from(list, ({ label }) => label), count: list.length };
}

/** The items of each class, balanced: one of each class after another, so that any first part is balanced too. */
export function classAfterClass(items: readonly (readonly ArrayLike<number>[])[]): Items {
  return itemsOf(items[0].flatMap((_, i) => items.map((ofClass, label) => ({ label, tokens: ofClass[i] }))));
}
