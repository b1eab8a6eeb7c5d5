import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Unit, type UnitResult, unitKey } from './units.ts';

export interface ToWorker {
  unit: Unit;
}

export type FromWorker =
  | { type: 'steps'; steps: number }
  | { type: 'done'; result: UnitResult }
  | { type: 'failed'; reason: string };

export interface WorkOptions {
  deviceKind: 'webgpu' | 'cpu';
  /** Steps the bases were trained for. */
  baseSteps: number;
  workers: number;
  /** Ends all workers; what they were at is not kept. */
  signal: AbortSignal;
  onStart(unit: Unit): void;
  onSteps(unit: Unit, steps: number): void;
  onDone(unit: Unit, result: UnitResult): void;
}

export interface Failure {
  unit: Unit;
  reason: string;
}

/**
 * Performs units in processes of their own, a few at a time, in the order given.
 *
 * @returns the units that failed, with the reason; the others are not held up by them.
 */
export async function performUnits(units: readonly Unit[], options: WorkOptions): Promise<Failure[]> {
  const waiting = [...units];
  const failures: Failure[] = [];
  const workers = Math.min(options.workers, waiting.length);
  await Promise.all(
    Array.from({ length: workers }, async () => {
      let worker: ChildProcess | null = null;
      for (let unit = waiting.shift(); unit && !options.signal.aborted; unit = waiting.shift()) {
        worker ??= startWorker(options);
        options.onStart(unit);
        const outcome = await performOne(worker, unit, options);
        if ('result' in outcome) options.onDone(unit, outcome.result);
        else if (!options.signal.aborted) failures.push({ unit, reason: outcome.reason });
        if (!worker.connected) worker = null;
      }
      worker?.disconnect();
    }),
  );
  return failures;
}

function startWorker({ deviceKind, baseSteps }: WorkOptions): ChildProcess {
  return fork(fileURLToPath(new URL('worker.ts', import.meta.url)), [deviceKind, String(baseSteps)], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
}

function performOne(
  worker: ChildProcess,
  unit: Unit,
  { signal, onSteps }: WorkOptions,
): Promise<{ result: UnitResult } | { reason: string }> {
  return new Promise((resolve) => {
    let printed = '';
    const onPrinted = (chunk: Buffer) => {
      printed = `${printed}${chunk}`.slice(-2000);
    };
    const finish = (outcome: { result: UnitResult } | { reason: string }) => {
      signal.removeEventListener('abort', onAbort);
      worker.off('message', onMessage);
      worker.off('exit', onExit);
      worker.stderr?.off('data', onPrinted);
      resolve(outcome);
    };
    const onMessage = (message: FromWorker) => {
      if (message.type === 'steps') onSteps(unit, message.steps);
      else finish(message.type === 'done' ? { result: message.result } : { reason: message.reason });
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
