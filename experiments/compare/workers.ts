/** Trains units in processes of their own, a few at a time. */

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Bases } from './bases.ts';
import type { ArmResult } from './results.ts';
import { type Unit, unitKey } from './units.ts';

export interface ToWorker {
  unit: Unit;
}

export type FromWorker =
  | { type: 'steps'; steps: number }
  | { type: 'done'; results: ArmResult[] }
  | { type: 'failed'; reason: string };

interface WorkOptions {
  deviceKind: 'webgpu' | 'cpu';
  bases: Bases;
  workers: number;
  /** Ends all workers; what they were at is not kept. */
  signal: AbortSignal;
  onSteps(unit: Unit, steps: number): void;
  /** Where it throws, every worker is let go, and so does `performUnits`. */
  onDone(unit: Unit, results: ArmResult[]): void;
}

interface Failure {
  unit: Unit;
  reason: string;
}

type Outcome = { results: ArmResult[] } | { reason: string };

/**
 * Performs units in the order given.
 *
 * @returns the units that failed, with the reason; the others are not held up by them.
 */
export async function performUnits(units: readonly Unit[], options: WorkOptions): Promise<Failure[]> {
  const waiting = [...units];
  const failures: Failure[] = [];
  const broken = new AbortController();
  const signal = AbortSignal.any([options.signal, broken.signal]);
  const work = async () => {
    let worker: ChildProcess | null = null;
    try {
      for (let unit = waiting.shift(); unit && !signal.aborted; unit = waiting.shift()) {
        worker ??= startWorker(options);
        const outcome = await performOne(worker, unit, signal, options.onSteps);
        if ('results' in outcome) options.onDone(unit, outcome.results);
        else if (!signal.aborted) failures.push({ unit, reason: outcome.reason });
        if (!worker.connected) worker = null;
      }
    } catch (error) {
      broken.abort();
      throw error;
    } finally {
      if (worker?.connected) worker.disconnect();
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: Math.min(options.workers, units.length) }, work));
  for (const each of ended) if (each.status === 'rejected') throw each.reason;
  return failures;
}

function startWorker({ deviceKind, bases }: WorkOptions): ChildProcess {
  const script = fileURLToPath(new URL('worker.ts', import.meta.url));
  return fork(script, [deviceKind, JSON.stringify(bases)], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
}

function performOne(
  worker: ChildProcess,
  unit: Unit,
  signal: AbortSignal,
  onSteps: WorkOptions['onSteps'],
): Promise<Outcome> {
  return new Promise((resolve) => {
    let printed = '';
    const onPrinted = (chunk: Buffer) => {
      printed = `${printed}${chunk}`.slice(-2000);
    };
    const finish = (outcome: Outcome) => {
      signal.removeEventListener('abort', onAbort);
      worker.off('message', onMessage);
      worker.off('exit', onExit);
      worker.stderr?.off('data', onPrinted);
      resolve(outcome);
    };
    const onMessage = (message: FromWorker) => {
      if (message.type === 'steps') onSteps(unit, message.steps);
      else finish(message.type === 'done' ? { results: message.results } : { reason: message.reason });
    };
    const onExit = (code: number | null, killedBy: string | null) =>
      finish({ reason: `the worker at ${unitKey(unit)} ended with ${killedBy ?? `code ${code}`}\n${printed}`.trim() });
    const onAbort = () => worker.kill('SIGTERM');
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort);
    worker.on('message', onMessage);
    worker.on('exit', onExit);
    worker.stderr?.on('data', onPrinted);
    const message: ToWorker = { unit };
    worker.send(message);
  });
}
