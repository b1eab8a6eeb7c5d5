/** A script in a process of its own, which tells by messages what it finds. */

import { type ChildProcess, fork } from 'node:child_process';
import { on } from 'node:events';
import { fileURLToPath } from 'node:url';

export class Child<Message> {
  readonly #process: ChildProcess;
  #printed = '';

  constructor(script: URL, argv: readonly string[], environment: Readonly<Record<string, string>> = {}) {
    this.#process = fork(fileURLToPath(script), argv, {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    // However this process ends, unless it is killed itself.
    const kill = () => this.#process.kill('SIGKILL');
    process.on('exit', kill);
    this.#process.once('exit', () => process.off('exit', kill));
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#printed = `${this.#printed}${chunk}`.slice(-2000);
      });
    }
  }

  get isConnected(): boolean {
    return this.#process.connected;
  }

  send(message: object): void {
    this.#process.send(message);
  }

  /**
   * What it sends from now on, until it has ended.
   *
   * @param signal ends it.
   */
  async *messages(signal: AbortSignal): AsyncGenerator<Message, void> {
    const kill = () => this.#process.kill('SIGKILL');
    signal.addEventListener('abort', kill);
    if (signal.aborted) kill();
    try {
      for await (const [message] of on(this.#process, 'message', { close: ['close'] })) yield message;
    } finally {
      signal.removeEventListener('abort', kill);
    }
  }

  /** How it ended, and what it printed last. */
  get lastWords(): string {
    const { signalCode, exitCode } = this.#process;
    return `it ended with ${signalCode ?? `code ${exitCode}`}\n${this.#printed}`.trim();
  }

  /** Lets it go. It ends by itself, and nothing is heard of it any more. */
  disconnect(): void {
    if (this.#process.connected) this.#process.disconnect();
  }
}
