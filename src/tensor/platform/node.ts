/** The library in Node. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { simdForms } from '../cpu/simd-form.ts';
import { ArgumentError, FileWriteError, NoAdapterError } from '../errors.ts';
import type { Chains, Files, OpenFile, Platform } from './interface.ts';
import { eventLoopTurn, politely } from './polite-wait.ts';
import { kernelFolder, vectorLoopsPath } from './repository.ts';
import { scratchFile } from './scratch-file.ts';
import { writeAside } from './write-aside.ts';

/**
 * The Dawn instance. It must outlive every device made from it: a collected instance takes the process down with it.
 * Held here, it does not keep the process from exiting.
 */
let instance: GPU | null = null;

/** Asked of the engine at first use. */
let collector: (() => void) | null = null;

function exposedCollector(): () => void {
  setFlagsFromString('--expose-gc');
  const found: unknown = runInNewContext('gc');
  return typeof found === 'function' ? () => Reflect.apply(found, undefined, []) : () => {};
}

const [major, minor] = process.versions.node.split('.').map(Number);
const joinsVectors = process.arch === 'x64' && (major > 23 || (major === 23 && minor >= 5));
/** What is an experiment of V8's may go wrong in an engine to come: this is the newest Node that the tests ran on. */
const newestTried = 26;

const files: Files = {
  join,
  basename,
  isSame: (path, other) => resolve(path) === resolve(other),
  read: async (path) => new Uint8Array(await readFile(path)),

  async open(path): Promise<OpenFile> {
    const file = await open(path, 'r');
    const { size } = await file.stat();
    return {
      size,
      async read(position, length) {
        const bytes = new Uint8Array(length);
        for (let done = 0; done < length; ) {
          // One read is at most 2 GiB.
          const { bytesRead } = await file.read(bytes, done, Math.min(length - done, 2 ** 30), position + done);
          if (bytesRead === 0) return bytes.slice(0, done);
          done += bytesRead;
        }
        return bytes;
      },
      close: () => file.close(),
    };
  },

  write: writeAside,
  scratch: scratchFile,
  copy: async (from, to) => {
    const bytes = await readFile(from);
    await writeAside(to, (write) => write(bytes));
  },
  async makeFolder(path) {
    try {
      await mkdir(path, { recursive: true });
    } catch (cause) {
      throw new FileWriteError(`${path} cannot be made (${cause instanceof Error ? cause.message : cause})`, { cause });
    }
  },
  list: (folder) => readdir(folder),
  remove: (path) => rm(path, { force: true }),

  async sha256(parts) {
    const hash = createHash('sha256');
    for (const part of parts) hash.update(part);
    return hash.digest('hex');
  },
};

export const platform: Platform = {
  totalMemory: totalmem,
  parallelism: availableParallelism,
  environment: (name) => process.env[name] || null,
  warn: (message) => process.emitWarning(message),
  onExit: (listener) => process.on('exit', listener),
  collectGarbage() {
    collector ??= exposedCollector();
    collector();
  },
  eventLoopTurn,
  politely,

  chains<Mark extends object>(): Chains<Mark> {
    const storage = new AsyncLocalStorage<Mark>();
    return { run: (mark, body) => storage.run(mark, body), current: () => storage.getStore() };
  },

  async loadGpu() {
    try {
      const dawn = await import('webgpu');
      Object.assign(globalThis, dawn.globals);
      instance ??= dawn.create([]);
      return instance;
    } catch (cause) {
      throw new NoAdapterError('the npm package `webgpu` (Dawn) could not be loaded on this machine', { cause });
    }
  },

  readKernel: (name) => readFileSync(new URL(`${name}.wgsl`, kernelFolder), 'utf8'),

  readVectorLoops(form) {
    const path = vectorLoopsPath(form);
    return existsSync(path) ? new Uint8Array(readFileSync(path)) : null;
  },

  preferredForms: simdForms
    .filter((form) => form === 'plain' || (form === 'relaxed' ? major >= 22 : joinsVectors && major <= newestTried))
    .toReversed(),

  /**
   * What is set in V8 stays set, because the engine compiles a function anew when it is called often; other modules then have their
   * vectors joined too, which changes no result.
   */
  enableForm(form) {
    if (form === 'wide' && !joinsVectors) {
      throw new ArgumentError(
        `cpu device: Node ${process.versions.node} on ${process.arch} cannot run the form wide (allowed: Node 23.5 and newer on x64)`,
      );
    }
    if (form === 'wide') setFlagsFromString('--experimental-wasm-revectorize');
    // Node 20 has the instructions of `relaxed`, as an experiment.
    if (form === 'relaxed' && major < 22) setFlagsFromString('--experimental-wasm-relaxed-simd');
  },

  startHelper(workerData, onLost) {
    const helper = new Worker(new URL('node-thread.mjs', import.meta.url), { workerData, execArgv: [] });
    let reason: unknown = null;
    helper.on('error', (error) => {
      reason = error;
    });
    helper.on('exit', (code) => onLost(reason ?? `it ended with code ${code}`));
    helper.unref();
  },

  files,
};
