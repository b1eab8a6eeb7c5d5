// Gives a peer the browser it expects, `navigator.gpu` on Dawn. Imported before the peer.

import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);
const gpu = create([]);
const navigator = { gpu, userAgent: 'node', platform: 'linux', hardwareConcurrency: 2 };
Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true, writable: true });

/** What the peer will run on. Asking uses up an adapter, not the one that the peer asks for later. */
export async function adapterOf(device) {
  if (device !== 'webgpu') return { adapter: 'WebAssembly', software: true };
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) return null;
  const { description, device: name, vendor, isFallbackAdapter } = adapter.info;
  return { adapter: description || name || vendor || 'unnamed adapter', software: isFallbackAdapter };
}

/**
 * Patches Dawn so that waiting leaves the processor alone, as frostgrad does. As shipped, the event loop polls at full
 * speed while a buffer map or the queue is pending, which takes a core away from a software adapter.
 */
export function waitPolitely() {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const shortest = 0.05;
  const longest = 1;
  let milliseconds = shortest;
  let pending = 0;
  let asleep = false;

  const turn = () => {
    asleep = pending > 0;
    if (!asleep) return;
    Atomics.wait(cell, 0, 0, milliseconds);
    milliseconds = Math.min(longest, 2 * milliseconds);
    setImmediate(turn);
  };
  const countPending = (prototype, method) => {
    const original = prototype[method];
    prototype[method] = function (...inputs) {
      const promise = original.apply(this, inputs);
      const settled = () => {
        pending--;
      };
      if (pending++ === 0) milliseconds = shortest;
      promise.then(settled, settled);
      if (!asleep) {
        asleep = true;
        setImmediate(turn);
      }
      return promise;
    };
  };
  countPending(globalThis.GPUBuffer.prototype, 'mapAsync');
  countPending(globalThis.GPUQueue.prototype, 'onSubmittedWorkDone');
}
