/** Which files are held out: whole groups, about a quarter of each class. */

import type { LabelledFile } from './files.ts';
import { Stream, shuffledByName } from './random.ts';

/** A class with fewer held-out files is left out: its accuracy would say more about those files than about the class. */
export const minimumHeldOut = 8;
export const minimumTraining = 4;

const heldOutShare = 0.25;
const trainingShare = 1 / 3;
const attempts = 64;

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
  const groups = groupsOf(files);
  const totals = countClasses(files);
  let best = { score: -Infinity, heldOut: new Set<string>() };
  for (let attempt = 0; attempt < attempts; attempt++) {
    const order = shuffledByName(groups, ({ name }) => name, Stream.split, seed, attempt);
    const candidate = holdOut(order, totals);
    if (candidate.score > best.score) best = candidate;
    if (candidate.satisfied) break;
  }
  return {
    training: files.filter(({ group }) => !best.heldOut.has(group)),
    heldOut: files.filter(({ group }) => best.heldOut.has(group)),
  };
}

interface Group {
  name: string;
  counts: Map<string, number>;
}

function holdOut(groups: readonly Group[], totals: ReadonlyMap<string, number>) {
  const held = new Map<string, number>();
  const heldOut = new Set<string>();
  const heldOf = (className: string) => held.get(className) ?? 0;

  for (const { name, counts } of groups) {
    const classes = [...counts];
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

function groupsOf(files: readonly LabelledFile[]): Group[] {
  const groups = new Map<string, Group>();
  for (const { group, className } of files) {
    const { counts } = groups.get(group) ?? groups.set(group, { name: group, counts: new Map() }).get(group)!;
    counts.set(className, (counts.get(className) ?? 0) + 1);
  }
  return [...groups.values()];
}

export function countClasses(files: readonly { className: string }[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { className } of files) counts.set(className, (counts.get(className) ?? 0) + 1);
  return counts;
}
