/** The buffer that tensors share. */
import type { DeviceBuffer } from './buffer-pool.ts';
import type { Device } from './device.ts';

/**
 * A buffer and the number of tensors that share it. Views share one storage, and so do the operands that the graph
 * keeps for the backward pass; the last to let go returns the buffer to the device's pool.
 */
export class Storage {
  readonly device: Device;
  readonly buffer: DeviceBuffer;
  /** Integers that came from the host, so that indices can be checked without waiting for the device. */
  readonly hostIntegers: Int32Array | null;
  /** True where it outlives every step, as a parameter's does: keeping it for the backward pass costs nothing. */
  outlivesSteps = false;
  #references = 0;

  constructor(device: Device, buffer: DeviceBuffer, hostIntegers: Int32Array | null = null) {
    this.device = device;
    this.buffer = buffer;
    this.hostIntegers = hostIntegers;
  }

  get references(): number {
    return this.#references;
  }

  retain(): void {
    this.#references++;
  }

  release(): void {
    if (--this.#references === 0) this.device.recycle(this.buffer);
  }
}
