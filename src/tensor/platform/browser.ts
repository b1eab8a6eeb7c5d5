/** The library in a page and in its workers. */
import { kernels, threadSource, vectorLoops } from 'frostgrad:embedded';
import { ArgumentError, FileFormatError, KernelError, NoAdapterError } from '../errors.ts';
import type { Files, OpenFile, Platform } from './interface.ts';

/** The part of a browser's interface that is used here; TypeScript keeps the whole in a library of its own. */
interface BrowserWorker {
  postMessage(message: unknown): void;
  onerror: ((event: { message: string; preventDefault(): void }) => void) | null;
}
interface Port {
  postMessage(message: unknown): void;
  onmessage: (() => void) | null;
}
interface Browser {
  readonly MessageChannel: new () => { readonly port1: Port; readonly port2: Port };
  readonly navigator: { readonly gpu?: GPU; readonly deviceMemory?: number; readonly hardwareConcurrency?: number };
  readonly crossOriginIsolated?: boolean;
  readonly WorkerGlobalScope?: unknown;
  readonly Worker?: new (address: string, options: { name: string }) => BrowserWorker;
}
declare const self: Browser;

/** Atomics.wait is refused on the thread of a page, and shared memory to pages that are not isolated. */
const canShare = Boolean(self.crossOriginIsolated && self.WorkerGlobalScope !== undefined && self.Worker);
const gibibyte = 2 ** 30;

/** Turns that were asked for and have not come yet. */
const turns: (() => void)[] = [];
const channel = new self.MessageChannel();
channel.port1.onmessage = () => turns.shift()?.();

const refuseToWrite = (path: string): never => {
  throw new FileFormatError(`${path}: a page cannot write files`);
};

async function fetchBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(path);
  if (response.ok) return new Uint8Array(await response.arrayBuffer());
  const error = new Error(`${path}: the server answered ${response.status}`);
  throw response.status === 404 ? Object.assign(error, { code: 'ENOENT' }) : error;
}

const files: Files = {
  join: (...parts) => parts.join('/').replace(/(?<!:)\/{2,}/g, '/'),
  basename: (path) => path.replace(/\/+$/, '').split('/').at(-1) ?? '',
  isSame: (path, other) => path === other,
  read: fetchBytes,
  async open(path): Promise<OpenFile> {
    const bytes = await fetchBytes(path);
    return {
      size: bytes.length,
      read: async (position, length) => bytes.slice(position, position + length),
      close: async () => {},
    };
  },
  write: async (path) => refuseToWrite(path),
  scratch: async (folder) => refuseToWrite(folder),
  copy: async (_, to) => refuseToWrite(to),
  makeFolder: async (path) => refuseToWrite(path),
  remove: async (path) => refuseToWrite(path),
  list: async (folder) => {
    throw new FileFormatError(`${folder}: a page cannot list the files of a folder`);
  },
  async sha256(parts) {
    const digest = await crypto.subtle.digest('SHA-256', await new Blob([...parts]).arrayBuffer());
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
  },
};

export const platform: Platform = {
  totalMemory: () => (self.navigator.deviceMemory ?? 4) * gibibyte,
  parallelism: () => (canShare ? (self.navigator.hardwareConcurrency ?? 1) : 1),
  environment: () => null,
  warn: (message) => console.warn(message),
  onExit: () => {},

  collectGarbage: () => {},
  // A timer would be held back by 4 ms.
  eventLoopTurn: () =>
    new Promise((resolve) => {
      turns.push(resolve);
      channel.port2.postMessage(null);
    }),
  politely: (pending) => pending,
  chains: null,

  async loadGpu() {
    const { gpu } = self.navigator;
    if (gpu) return gpu;
    throw new NoAdapterError('this browser has no WebGPU, or keeps it from pages that do not come over https');
  },

  readKernel(name) {
    const text = kernels[name];
    if (text !== undefined) return text;
    throw new KernelError(`kernels/${name}.wgsl is not part of this build`);
  },

  readVectorLoops(form) {
    const text = vectorLoops[form];
    return text === undefined ? null : Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  },

  preferredForms: ['relaxed', 'plain'],
  enableForm(form) {
    if (form !== 'wide') return;
    throw new ArgumentError('cpu device: a browser cannot run the form wide (allowed: relaxed, plain)');
  },

  startHelper: canShare
    ? (data, onLost) => {
        const { Worker } = self;
        if (!Worker) return;
        const address = URL.createObjectURL(new Blob([threadSource], { type: 'text/javascript' }));
        const helper = new Worker(address, { name: `frostgrad ${data.thread}` });
        helper.onerror = (event) => {
          event.preventDefault();
          onLost(event.message);
        };
        helper.postMessage(data);
      }
    : null,

  files,
};
