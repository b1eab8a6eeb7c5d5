/** Runs a measuring script in a process of its own. */

import { Child } from '../command/child.ts';
import { type ChildReport, isChildMessage } from './child-report.ts';

/** Something that one child process measures. */
export interface Measurement {
  readonly implementation: string;
  readonly device: string;
  /** For the lines of progress. */
  readonly title: string;
  readonly script: URL;
  readonly arguments: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** A child's report with what it was asked for. */
export interface Measured {
  readonly measurement: Measurement;
  readonly report: ChildReport;
}

/** A child that takes longer is ended. The slowest peers take minutes; Mesa alone compiles up to 50 s for jax-js. */
const secondsAllowed = 900;

export type ChildOutcome =
  | { kind: 'report'; report: ChildReport }
  /** The machine lacks what it needs. */
  | { kind: 'unavailable'; reason: string }
  | { kind: 'failed'; reason: string };

/**
 * No child inherits another's compiled code or heap, a crash takes only itself, and the time each has is bounded. Figures come
 * as messages, because Dawn writes warnings to both streams.
 */
export async function runChild(
  { script, arguments: argv, environment }: Measurement,
  onProgress: (line: string) => void,
): Promise<ChildOutcome> {
  const child = new Child<unknown>(script, argv, environment);
  const timeout = AbortSignal.timeout(secondsAllowed * 1000);
  let outcome: ChildOutcome | null = null;
  // To the end of the process, so that it disturbs nothing that is measured next.
  for await (const message of child.messages(timeout)) {
    if (!isChildMessage(message)) outcome = { kind: 'failed', reason: 'it sent a message that cannot be read' };
    else if ('progress' in message) onProgress(message.progress);
    else if ('report' in message) outcome = { kind: 'report', report: message.report };
    else outcome = { kind: 'unavailable', reason: message.unavailable };
  }
  const late = timeout.aborted ? `it took more than ${secondsAllowed} s; ` : '';
  return outcome ?? { kind: 'failed', reason: late + child.lastWords };
}
