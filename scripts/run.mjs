// Runs a TypeScript script: node scripts/run.mjs SCRIPT [arguments]. It does what the command `tsx` does, but keeps back the
// two lines that Dawn writes to standard error whenever a driver reports large limits. They mean nothing to a user, and
// come from native code that has no switch for them.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';

const keptBack = /^Warning: maxDynamic\w+BuffersPerPipelineLayout artificially reduced from \d+ to \d+/;

const child = spawn(process.execPath, ['--import', 'tsx', ...process.argv.slice(2)], {
  stdio: ['inherit', 'inherit', 'pipe'],
});
createInterface({ input: child.stderr }).on('line', (line) => {
  if (!keptBack.test(line)) process.stderr.write(`${line}\n`);
});
// A terminal that was closed takes no more.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
// The script decides how it ends.
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']))
  process.on(signal, () => child.kill(signal));
child.on('close', (code, signal) => {
  if (signal) console.error(`\nEnded at once by ${signal}: nothing more was written.`);
  process.exitCode = code ?? 128 + (signal ? constants.signals[signal] : 0);
});
