/** The search for an adapter. */
import { NoAdapterError } from '../errors.ts';

/** An adapter, and whether it is a CPU emulation. */
export interface FoundAdapter {
  adapter: GPUAdapter;
  software: boolean;
  name: string;
}

/**
 * The Dawn instance. It must outlive every device made from it: a collected instance takes the process down with it.
 * Held here, it does not keep the process from exiting.
 */
let instance: GPU | null = null;

/**
 * The best adapter of this machine, graphics hardware first.
 *
 * @throws NoAdapterError where the `webgpu` package cannot load or finds no driver.
 */
export async function findAdapter(): Promise<FoundAdapter> {
  try {
    const dawn = await import('webgpu');
    Object.assign(globalThis, dawn.globals);
    instance ??= dawn.create([]);
  } catch (cause) {
    throw new NoAdapterError('the npm package `webgpu` (Dawn) could not be loaded on this machine', { cause });
  }
  const adapter = await instance.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new NoAdapterError('Dawn found no adapter: no Vulkan, Metal or Direct3D 12 driver it can use');
  const { vendor, device, description, isFallbackAdapter } = adapter.info;
  const name = description || device || vendor || 'unnamed adapter';
  return { adapter, software: isFallbackAdapter, name };
}
