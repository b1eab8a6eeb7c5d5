/** Which files are held out: whole groups, about a quarter of each class. */

import type { LabelledFile } from './files.ts';
import { Stream, shuffledByName } from './random.ts';

/** A class with fewer held-out files is left out: its accuracy would say more about those files than about the class. */
export const minimumHeldOut = 8;
export const minimumTraining = 4;

const heldOutShare = 0.25;
const trainingShare = 1 / 3;
const attempts = 64;

/** Files of each class. */
type Counts = Map<string, number>;

export interface Split {
  training: LabelledFile[];
  heldOut: LabelledFile[];
}

/**
 * Divides files so that no group (a package) is in both parts and every class gets enough held-out files where that can be.
 *
 * About a quarter of each class is held out. Packages mix classes and some classes live in few packages, so one shuffle
 * often starves a class: of 64 seeded shuffles the one is kept that serves most classes, and among those the one whose
 * shares are nearest to a quarter. Depends on the seed and the names only.
 */
export function splitByGroup(files: readonly LabelledFile[], seed: number): Split {
  const totals: Counts = new Map();
  const groups = new Map<string, Counts>();
  for (const { group, className } of files) {
    const counts = groups.get(group) ?? new Map<string, number>();
    groups.set(group, counts);
    for (const each of [totals, counts]) each.set(className, (each.get(className) ?? 0) + 1);
  }
  let best = { score: -Infinity, heldOut: new Set<string>() };
  for (let attempt = 0; attempt < attempts; attempt++) {
    const order = shuffledByName([...groups.keys()], (name) => name, Stream.split, seed, attempt);
    const candidate = holdOut(order, groups, totals);
    if (candidate.score > best.score) best = candidate;
    if (candidate.satisfied) break;
  }
  return {
    training: files.filter(({ group }) => !best.heldOut.has(group)),
    heldOut: files.filter(({ group }) => best.heldOut.has(group)),
  };
}

function holdOut(names: readonly string[], groups: ReadonlyMap<string, Counts>, totals: Counts) {
  const held = new Map<string, number>();
  const heldOut = new Set<string>();
  const heldOf = (className: string) => held.get(className) ?? 0;

  for (const name of names) {
    const classes = [...(groups.get(name) ?? [])];
    const wanted = classes.some(([className]) => heldOf(className) < target(totals.get(className) ?? 0));
    const affordable = classes.every(([className, count]) => {
      const total = totals.get(className) ?? 0;
      return total - heldOf(className) - count >= Math.max(minimumTraining, Math.floor(total * trainingShare));
    });
    if (!wanted || !affordable) continue;
    heldOut.add(name);
    for (const [className, count] of classes) held.set(className, heldOf(className) + count);
  }

  const served = [...totals.keys()].filter((className) => heldOf(className) >= minimumHeldOut);
  const excess = [...totals].map(([className, total]) => Math.abs(heldOf(className) - target(total)) / total);
  return {
    heldOut,
    score: served.length - excess.reduce((sum, value) => sum + value, 0) / totals.size,
    satisfied: served.length === totals.size && excess.every((value) => value < 0.05),
  };
}

// Twice the minimum where there are files enough, because some fall out later for repeating training files.
function target(total: number): number {
  const comfortable = Math.max(2 * minimumHeldOut, Math.round(total * heldOutShare));
  return Math.max(minimumHeldOut, Math.min(comfortable, Math.floor(total / 2)));
}
