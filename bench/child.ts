import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type ChildReport, isChildMessage } from './child-report.ts';

export interface ChildOptions {
  script: URL;
  arguments?: readonly string[];
  environment?: Readonly<Record<string, string>>;
  /** It is ended after this many seconds. */
  secondsAllowed: number;
  onProgress(line: string): void;
}

export type ChildOutcome =
  | { kind: 'report'; report: ChildReport }
  /** The machine lacks what it needs. */
  | { kind: 'unavailable'; reason: string }
  | { kind: 'failed'; reason: string };

/**
 * Runs a measuring script in a process of its own: none inherits another's compiled code or heap, a crash takes only
 * itself, and the time each has is bounded. Figures come as messages, because Dawn writes warnings to both streams.
 */
export function runChild({ script, secondsAllowed, onProgress, ...options }: ChildOptions): Promise<ChildOutcome> {
  const child = fork(fileURLToPath(script), options.arguments ?? [], {
    env: { ...process.env, ...options.environment },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let outcome: ChildOutcome | null = null;
  let printed = '';
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill('SIGKILL');
  }, secondsAllowed * 1000);
  const collect = (chunk: Buffer) => {
    printed = `${printed}${chunk}`.slice(-2000);
  };
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  child.on('message', (message) => {
    if (!isChildMessage(message)) outcome = { kind: 'failed', reason: 'it sent a report that cannot be read' };
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
