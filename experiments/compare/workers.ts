/** Trains units in processes of their own, a few at a time. */

import { Child } from '../../command/child.ts';
import { FileWriteError } from '../../src/index.ts';
import type { Bases } from './bases.ts';
import type { ArmResult } from './results.ts';
import { type Unit, unitKey } from './units.ts';

export interface ToWorker {
  unit: Unit;
  checkpoint: string;
}

export type FromWorker =
  | { type: 'steps'; steps: number }
  | { type: 'done'; results: ArmResult[] }
  | { type: 'failed'; reason: string }
  /** No other unit could be kept either. */
  | { type: 'unwritable'; reason: string };

interface WorkOptions {
  deviceKind: 'webgpu' | 'cpu';
  bases: Bases;
  workers: number;
  /** Ends all workers; what they were at goes on from its last checkpoint. */
  signal: AbortSignal;
  /** The file that keeps a unit on its way. */
  checkpointOf(unit: Unit): string;
  onSteps(unit: Unit, steps: number): void;
  /** Where it throws, every worker is let go, and so does `performUnits`. */
  onDone(unit: Unit, results: ArmResult[]): void;
}

interface Failure {
  unit: Unit;
  reason: string;
}

type Worker = Child<FromWorker>;

const script = new URL('worker.ts', import.meta.url);

type Outcome = { results: ArmResult[] } | { reason: string };

/**
 * Performs units in the order given.
 *
 * @throws FileWriteError where one cannot be kept.
 * @returns the units that failed, with the reason; the others are not held up by them.
 */
export async function performUnits(units: readonly Unit[], options: WorkOptions): Promise<Failure[]> {
  const waiting = [...units];
  const failures: Failure[] = [];
  const broken = new AbortController();
  const signal = AbortSignal.any([options.signal, broken.signal]);
  const work = async () => {
    let worker: Worker | null = null;
    try {
      for (let unit = waiting.shift(); unit && !signal.aborted; unit = waiting.shift()) {
        worker ??= new Child<FromWorker>(script, [options.deviceKind, JSON.stringify(options.bases)]);
        const outcome = await performOne(worker, unit, signal, options);
        if ('results' in outcome) options.onDone(unit, outcome.results);
        else if (!signal.aborted) failures.push({ unit, reason: outcome.reason });
        if (!worker.isConnected) worker = null;
      }
    } catch (error) {
      broken.abort();
      throw error;
    } finally {
      worker?.disconnect();
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: Math.min(options.workers, units.length) }, work));
  for (const each of ended) if (each.status === 'rejected') throw each.reason;
  return failures;
}

async function performOne(
  worker: Worker,
  unit: Unit,
  signal: AbortSignal,
  { checkpointOf, onSteps }: WorkOptions,
): Promise<Outcome> {
  const message: ToWorker = { unit, checkpoint: checkpointOf(unit) };
  worker.send(message);
  for await (const message of worker.messages(signal)) {
    if (message.type === 'steps') onSteps(unit, message.steps);
    else if (message.type === 'unwritable') throw new FileWriteError(message.reason);
    else return message.type === 'done' ? { results: message.results } : { reason: message.reason };
  }
  return { reason: `the worker at ${unitKey(unit)}: ${worker.lastWords}` };
}
