/** Runs a measuring script in a process of its own. */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
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
export function runChild(
  { script, arguments: argv, environment }: Measurement,
  onProgress: (line: string) => void,
): Promise<ChildOutcome> {
  const child = fork(fileURLToPath(script), argv, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let outcome: ChildOutcome | null = null;
  let printed = '';
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill('SIGKILL');
  }, secondsAllowed * 1000);
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      printed = `${printed}${chunk}`.slice(-2000);
    });
  }
  child.on('message', (message) => {
    if (!isChildMessage(message)) outcome = { kind: 'failed', reason: 'it sent a message that cannot be read' };
    else if ('progress' in message) onProgress(message.progress);
    else if ('report' in message) outcome = { kind: 'report', report: message.report };
    else outcome = { kind: 'unavailable', reason: message.unavailable };
  });
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ kind: 'failed', reason: error.message }));
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const end = timedOut ? `it took more than ${secondsAllowed} s` : `it ended with ${signal ?? `code ${code}`}`;
      resolve(outcome ?? { kind: 'failed', reason: `${end}\n${printed}`.trim() });
    });
  });
}
