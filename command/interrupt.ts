/** Ctrl-C, SIGTERM and a terminal that is closed, as a request to stop after the current step. */

/** The shell's exit code for a program ended by Ctrl-C. */
export const interruptedExitCode = 130;

/** A runner such as npm passes a Ctrl-C on that the terminal sent to every process already. */
const repeatMilliseconds = 500;

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Ends a command that was interrupted. The message says what is kept and how to go on. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

export interface Interrupt {
  /** Aborted at the first request; a loop looks at it between two steps. */
  readonly signal: AbortSignal;
  /** Gives the signals their usual meaning back, unless one came: then the command is about to end, and a repeated one must not cut that short. */
  release(): void;
}

/** What a signal does before a command listens for it; null once one does. */
let early: (() => void) | null = null;
/** Each asks a loop that listens to stop. */
const requests = new Set<() => void>();

/** Until a command listens itself, or calls what this returns, a signal ends it with a word. */
export function endOnInterrupt(): () => void {
  const end = () => {
    console.log('\nInterrupted. Nothing was begun that could be kept.');
    process.exit(interruptedExitCode);
  };
  early = end;
  for (const name of signals) process.on(name, end);
  return () => {
    for (const name of signals) process.off(name, end);
  };
}

/**
 * Turns the first signal into a request to stop after the current step, so that the run's files are closed and no
 * read-back is left pending on the device. The second one ends the process at once; one within half a second of the first
 * is taken for the same.
 */
export function listenForInterrupt(): Interrupt {
  const controller = new AbortController();
  let first = 0;
  const stopListening = () => {
    for (const name of signals) process.off(name, onSignal);
  };
  const request = () => {
    if (controller.signal.aborted) return;
    first = performance.now();
    controller.abort();
  };
  const onSignal = (name: NodeJS.Signals) => {
    if (!controller.signal.aborted) request();
    else if (performance.now() - first > repeatMilliseconds) {
      stopListening();
      process.kill(process.pid, name);
    }
  };
  for (const name of signals) {
    process.on(name, onSignal);
    if (early) process.off(name, early);
  }
  early = null;
  requests.add(request);
  const release = () => {
    if (!controller.signal.aborted) stopListening();
    requests.delete(request);
  };
  return { signal: controller.signal, release };
}

/** Leaves it to the process that started this one, which every signal of a terminal reaches too. */
export function ignoreInterrupts(): void {
  for (const name of signals) process.on(name, () => {});
}

/** Nobody reads any more what is printed. A command that listens is to stop as after a signal; before, there is nothing to do. */
export function endWhereNobodyReads(): void {
  if (early) process.exit();
  for (const request of requests) request();
}
