/** A rule of the study: whole blocks freeze, one after the other from below, by the signal of GradES. */

import { type Check, type Decoder, freezeLeftovers, GradES, type Policy, type RegistryEntry } from '../../src/index.ts';
import type { PolicyContext } from '../policy-file.ts';

/** Share of the schedule before which nothing freezes, as in GradES. */
const grace = 0.15;

/**
 * One matrix that does not converge keeps all blocks above it from leaving the forward pass. Here the lowest live block freezes as a
 * whole, once the mean over its matrices has stayed below the threshold of GradES for its patience, and no sooner after the block
 * before. It keeps no state for a checkpoint.
 */
export function gradesByBlock({ registry, optimizer, steps }: PolicyContext<Decoder>, sampleFrom: number): Policy {
  const watching = new GradES(registry, optimizer, { steps, sampleFrom, grace: 1, freezeLeftovers: true });
  const { threshold } = watching.settings;
  const patience = watching.settings.patience * steps;
  const blocks = new Map<number, RegistryEntry[]>();
  for (const entry of watching.watched) {
    if (entry.block !== null) blocks.set(entry.block, [...(blocks.get(entry.block) ?? []), entry]);
  }
  const ascending = [...blocks].sort(([a], [b]) => a - b);
  const belowSince = new Map<number, number>();
  let last = Number.NEGATIVE_INFINITY;
  let check: Check | null = null;
  watching.onCheck((latest) => {
    check = latest;
  });
  const meanOf = (entries: readonly RegistryEntry[], { values }: Check) =>
    entries.reduce((sum, { name }) => sum + (values.get(name) ?? Number.NaN), 0) / entries.length;
  return {
    get finished() {
      return watching.finished;
    },
    beforeStep: (step) => watching.beforeStep(step),
    async afterStep(step) {
      check = null;
      await watching.afterStep(step);
      if (check === null) return;
      for (const [block, entries] of ascending) {
        if (!(meanOf(entries, check) < threshold)) belowSince.delete(block);
        else if (!belowSince.has(block)) belowSince.set(block, step);
      }
      const lowest = ascending.find(([, entries]) => registry.active(entries).length > 0);
      if (!lowest || step <= grace * steps || step - last < patience) return;
      const [block, entries] = lowest;
      if (step - (belowSince.get(block) ?? step) < patience) return;
      last = step;
      for (const entry of entries) registry.freeze(entry, { step, threshold, reason: 'its block converged' });
      freezeLeftovers(registry, watching.watched, step);
    },
    end: () => watching.end(),
  };
}
