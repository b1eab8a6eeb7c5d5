import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const SCRIPT = `
import { INTERRUPTED_EXIT_CODE, listenForInterrupt } from './experiments/fragments/interrupt.ts';
const { signal, release } = listenForInterrupt();
process.stdout.write('running\\n');
while (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 5));
release();
process.stdout.write('closed\\n');
process.exitCode = INTERRUPTED_EXIT_CODE;
`;

test('the first Ctrl-C lets the loop finish its step and close its files', async () => {
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', SCRIPT], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += String(chunk);
    if (String(chunk).includes('running')) child.kill('SIGINT');
  });
  const [code] = await once(child, 'close');
  expect(output).toBe('running\nclosed\n');
  expect(code).toBe(130);
});
