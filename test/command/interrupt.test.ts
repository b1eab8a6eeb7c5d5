import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../temporary-folder.ts';

const wait5 = 'await new Promise((resolve) => setTimeout(resolve, 5));';
const stopping = (stops: boolean) => `
  const { signal, release } = listenForInterrupt();
  console.log('running');
  while (!(${stops} && signal.aborted)) ${wait5}
  release();
  await new Promise((resolve) => setTimeout(resolve, 100));
  throw new Interrupted('All is closed.');`;

/** Starts a command. */
function started(body: string) {
  const script = `
    import { Interrupted, listenForInterrupt } from './command/interrupt.ts';
    import { runCommand } from './command/run.ts';
    await runCommand(async () => {${body}});`;
  return spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

/** Starts a command, and sends it signals once it has printed something. */
async function interrupted(body: string, ...signals: (NodeJS.Signals | number)[]) {
  const child = started(body);
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

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  'the first %s lets the loop finish its step and close its files',
  async (signal) => {
    expect(await interrupted(stopping(true), signal)).toEqual({
      output: 'running\n\nInterrupted. All is closed.\n',
      code: 130,
      killedBy: null,
    });
  },
);

test('where nobody reads any more what it prints, a loop ends after its step, with its files closed', async () => {
  const file = join(temporaryFolder(), 'closed');
  const child = started(`
    const { signal } = listenForInterrupt();
    while (!signal.aborted) { console.log('step'); console.error('step'); ${wait5} }
    console.log('not read');
    await import('node:fs').then(({ writeFileSync }) => writeFileSync(${JSON.stringify(file)}, 'all of it'));
    throw new Interrupted('All is closed.');`);
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  child.stdout.destroy();
  expect(await ended).toEqual([130, null]);
  expect(readFileSync(file, 'utf8')).toBe('all of it');
});

test('before a command listens, it ends where nobody reads', async () => {
  const child = started(`for (;;) { console.log('line'); ${wait5} }`);
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  child.stdout.destroy();
  expect(await ended).toEqual([0, null]);
});

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
