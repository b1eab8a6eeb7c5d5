/** The shell's exit code for a program ended by Ctrl-C. */
export const INTERRUPTED_EXIT_CODE = 130;

export interface Interrupt {
  /** Aborted at the first Ctrl-C; the loop looks at it between two steps. */
  signal: AbortSignal;
  /** Gives Ctrl-C its usual meaning back. */
  release(): void;
}

/**
 * Turns the first Ctrl-C into a request to stop after the current step, so that the run's files are closed and no read-back
 * is left pending on the device. The second one ends the process as usual.
 */
export function listenForInterrupt(): Interrupt {
  const controller = new AbortController();
  const abort = () => controller.abort();
  process.once('SIGINT', abort);
  return { signal: controller.signal, release: () => process.off('SIGINT', abort) };
}
