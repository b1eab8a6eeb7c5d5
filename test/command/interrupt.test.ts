import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const wait5 = 'await new Promise((resolve) => setTimeout(resolve, 5));';
const stopping = (stops: boolean) => `
  const { signal, release } = listenForInterrupt();
  console.log('running');
  while (!(${stops} && signal.aborted)) ${wait5}
  release();
  await new Promise((resolve) => setTimeout(resolve, 100));
  throw new Interrupted('All is closed.');`;

/** Starts a command, and sends it signals once it has printed something. */
async function interrupted(body: string, ...signals: (NodeJS.Signals | number)[]) {
  const script = `
    import { Interrupted, listenForInterrupt } from './command/interrupt.ts';
    import { runCommand } from './command/run.ts';
    await runCommand(async () => {${body}});`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  const closed = once(child, 'close');
  await once(child.stdout, 'data');
  for (const signal of signals) {
    if (typeof signal === 'number') await wait(signal);
    else child.kill(signal);
  }
  const [code, killedBy] = await closed;
  return { output, code, killedBy };
}

test.each(['SIGINT', 'SIGTERM'] as const)(
  'the first %s lets the loop finish its step and close its files',
  async (signal) => {
    expect(await interrupted(stopping(true), signal)).toEqual({
      output: 'running\n\nInterrupted. All is closed.\n',
      code: 130,
      killedBy: null,
    });
  },
);

test('a Ctrl-C that a runner passes on again is taken for the same', async () => {
  expect(await interrupted(stopping(true), 'SIGINT', 20, 'SIGINT')).toMatchObject({ code: 130, killedBy: null });
});

test('a second one ends at once', async () => {
  expect(await interrupted(stopping(false), 'SIGINT', 700, 'SIGINT')).toEqual({
    output: 'running\n',
    code: null,
    killedBy: 'SIGINT',
  });
});

test('before a command listens, it says that there is nothing to keep', async () => {
  expect(await interrupted(`console.log('reading'); for (;;) ${wait5}`, 'SIGINT', 'SIGINT')).toEqual({
    output: 'reading\n\nInterrupted. Nothing was begun that could be kept.\n',
    code: 130,
    killedBy: null,
  });
});
