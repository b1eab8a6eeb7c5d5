/** The search for an adapter. */
import { NoAdapterError } from '../errors.ts';
import { platform } from '../platform/platform.ts';

/** An adapter, and whether it is a CPU emulation. */
export interface FoundAdapter {
  adapter: GPUAdapter;
  software: boolean;
  name: string;
}

/**
 * The best adapter of this machine, graphics hardware first.
 *
 * @throws NoAdapterError where WebGPU cannot be loaded or finds no driver.
 */
export async function findAdapter(): Promise<FoundAdapter> {
  const gpu = await platform.loadGpu();
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new NoAdapterError('WebGPU found no adapter: no Vulkan, Metal or Direct3D 12 driver it can use');
  return { adapter, ...describeAdapter(adapter.info) };
}

export function describeAdapter(info: GPUAdapterInfo): { software: boolean; name: string } {
  const { vendor, architecture, device, description, isFallbackAdapter } = info;
  // Browsers tell pages little: often the vendor and the architecture alone.
  const name = description || device || [vendor, architecture].filter(Boolean).join(' ') || 'unnamed adapter';
  return { software: isFallbackAdapter, name };
}
