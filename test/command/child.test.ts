import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { Child } from '../../command/child.ts';
import { temporaryFolder, writeFiles } from '../temporary-folder.ts';

const never = new AbortController().signal;

function childOf(script: string): Child<{ said: string }> {
  const folder = temporaryFolder();
  writeFiles(folder, { 'script.mjs': script });
  return new Child(pathToFileURL(join(folder, 'script.mjs')), ['an argument'], { FROM_PARENT: 'a variable' });
}

test('what is asked one after the other is answered, until it breaks', async () => {
  const child = childOf(`process.on('message', ({ word }) => {
    if (word === 'third') throw new Error('broken');
    process.send({ said: [word, process.argv[2], process.env.FROM_PARENT].join() });
  });`);
  const answers: string[] = [];
  for (const word of ['first', 'second', 'third']) {
    child.send({ word });
    for await (const { said } of child.messages(never)) {
      answers.push(said);
      break;
    }
  }
  expect(answers).toEqual(['first,an argument,a variable', 'second,an argument,a variable']);
  expect(child.lastWords).toMatch(/^it ended with code 1\n[\s\S]*Error: broken/);
  expect(child.isConnected).toBe(false);
});

test('every message comes before the end, and the last words say how it ended and what it printed', async () => {
  const child = childOf(`process.send({ said: 'one' }); process.send({ said: 'two' }); throw new Error('broken');`);
  const said: string[] = [];
  for await (const message of child.messages(never)) said.push(message.said);
  expect(said).toEqual(['one', 'two']);
  expect(child.lastWords).toMatch(/^it ended with code 1\n[\s\S]*Error: broken/);
  expect(child.isConnected).toBe(false);
});

test('it ends with the process that started it', async () => {
  const folder = temporaryFolder();
  const module = JSON.stringify(new URL('../../command/child.ts', import.meta.url).href);
  writeFiles(folder, {
    'script.mjs': 'setInterval(() => {}, 1000); process.send({ pid: process.pid });',
    'parent.mts': `import { Child } from ${module};
      const child = new Child(new URL('script.mjs', import.meta.url), []);
      for await (const { pid } of child.messages(new AbortController().signal)) { console.log(pid); process.exit(3); }`,
  });
  const { stdout, status } = spawnSync(process.execPath, ['--import', 'tsx', join(folder, 'parent.mts')], {
    encoding: 'utf8',
  });
  expect(status).toBe(3);
  await expect.poll(() => isRunning(Number(stdout))).toBe(false);
});

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test('a signal ends it', async () => {
  const child = childOf('setInterval(() => {}, 1000); process.send({ said: "ready" });');
  const ending = new AbortController();
  for await (const { said } of child.messages(ending.signal)) {
    expect(said).toBe('ready');
    ending.abort();
  }
  expect(child.lastWords).toBe('it ended with SIGKILL');
});
