/** `npm run page`: the page on which one watches a model train and freeze, served from this machine, or built to be hosted. */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { build, createServer } from 'vite';
import { listenForInterrupt } from '../command/interrupt.ts';
import { flag, readOptions, wholeNumber } from '../command/options.ts';
import { runCommand } from '../command/run.ts';

const configFile = fileURLToPath(new URL('../page/vite.config.ts', import.meta.url));

await runCommand(async () => {
  const options = readOptions({
    command: 'npm run page',
    about: 'Serves a page on which a small transformer trains and freezes while one watches.',
    argv: process.argv.slice(2),
    options: {
      port: wholeNumber({ from: 1, to: 65535, default: 5173, help: 'the next one that is free is taken' }),
      build: flag({ help: 'build it into page/dist instead, to be put on any server of files' }),
    },
    notes:
      'A server that sends Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp gives the page ' +
      'threads; without, it trains on one. WebGPU needs https, or localhost.',
  });
  if (!options) return;
  if (options.build) {
    await build({ configFile });
    return;
  }
  const interrupt = listenForInterrupt();
  const server = await createServer({ configFile, server: { port: options.port } });
  await server.listen();
  console.log(`The page is at ${server.resolvedUrls?.local[0]} (Ctrl-C ends this)`);
  await once(interrupt.signal, 'abort');
  // Vite listens for SIGTERM too, and takes it for a failure.
  process.exitCode = 0;
  await server.close();
});
