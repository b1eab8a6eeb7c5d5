/** The pool that buffers of a device come from and go back to. */
import { OutOfMemoryError } from './errors.ts';
import { getOrCreate } from './get-or-create.ts';

/** A buffer of a device, named by a number: the pool that made it knows the resource behind it. */
export interface DeviceBuffer {
  readonly id: number;
  /** Bytes asked for. */
  readonly byteLength: number;
}

export interface MemoryReport {
  /** Buffers and bytes that tensors hold now. */
  liveBuffers: number;
  liveBytes: number;
  /** Buffers and bytes the device has allocated: live ones, and free ones kept for the next step. */
  reservedBuffers: number;
  reservedBytes: number;
  /** The most bytes that were live at once since the last `resetPeak`. */
  peakBytes: number;
}

const granularity = 256;
/** So many free bytes are never too many. */
const smallSurplus = 2 ** 26;

/**
 * Hands buffers out and takes them back, so that a steady step allocates nothing.
 *
 * Free buffers are kept by size, and the one with the lowest id is always taken first. First-in or last-in order would
 * permute the buffers from step to step; lowest-first makes every step use the same buffer for the same tensor, so that
 * bind groups can be cached.
 */
export class BufferPool<Resource> {
  readonly #create: (size: number, id: number, operation: string) => Resource;
  readonly #destroy: (resource: Resource, id: number) => void;
  readonly #reclaim: () => void;
  /** By id. An id is never given twice, so that a handle of what was destroyed is told. */
  readonly #reserved = new Map<number, { resource: Resource; size: number }>();
  #made = 0;
  /** Free ids of one size, ascending. */
  readonly #free = new Map<number, number[]>();
  readonly #report: MemoryReport = { liveBuffers: 0, liveBytes: 0, reservedBuffers: 0, reservedBytes: 0, peakBytes: 0 };
  /** The most bytes that were live at once in this step. */
  #stepPeak = 0;
  /** Bytes the pool may reserve before it refuses. */
  budget: number;

  constructor(options: {
    /** A RangeError says that there is no such memory. */
    create: (size: number, id: number, operation: string) => Resource;
    destroy: (resource: Resource, id: number) => void;
    budget: number;
    /** Called when the budget is reached: must make `trim` safe and call it. */
    reclaim?: () => void;
  }) {
    this.#create = options.create;
    this.#destroy = options.destroy;
    this.budget = options.budget;
    this.#reclaim = options.reclaim ?? (() => this.trim());
  }

  /** @param operation what needs it, for errors. */
  acquire(byteLength: number, operation = 'tensor'): DeviceBuffer {
    const size = Math.max(1, Math.ceil(byteLength / granularity)) * granularity;
    const id = this.#free.get(size)?.shift() ?? this.#reserve(size, operation);
    this.#report.liveBuffers++;
    this.#report.liveBytes += byteLength;
    this.#report.peakBytes = Math.max(this.#report.peakBytes, this.#report.liveBytes);
    this.#stepPeak = Math.max(this.#stepPeak, this.#report.liveBytes);
    return { id, byteLength };
  }

  giveBack(buffer: DeviceBuffer): void {
    const free = getOrCreate(this.#free, this.#entry(buffer).size, () => []);
    let low = 0;
    let high = free.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (free[middle] < buffer.id) low = middle + 1;
      else high = middle;
    }
    free.splice(low, 0, buffer.id);
    this.#report.liveBuffers--;
    this.#report.liveBytes -= buffer.byteLength;
  }

  resource(buffer: DeviceBuffer): Resource {
    return this.#entry(buffer).resource;
  }

  #entry({ id }: DeviceBuffer) {
    const entry = this.#reserved.get(id);
    if (entry === undefined) throw new Error(`buffer ${id} was destroyed`);
    return entry;
  }

  /** Destroys every free buffer of at most so many bytes. The device must have no recorded work that uses one. */
  trim(largest = Number.POSITIVE_INFINITY): void {
    for (const [size, ids] of this.#free) {
      if (size > largest) continue;
      this.#free.delete(size);
      for (const id of ids) {
        const entry = this.#reserved.get(id);
        if (entry === undefined) continue;
        this.#destroy(entry.resource, id);
        this.#reserved.delete(id);
        this.#report.reservedBuffers--;
        this.#report.reservedBytes -= size;
      }
    }
  }

  /**
   * At the end of a step: destroys the free buffers where they are far more than the step took. Batches of many lengths would else
   * leave buffers of each.
   */
  trimSurplus(): void {
    const { reservedBytes, liveBytes } = this.#report;
    const taken = this.#stepPeak - liveBytes;
    if (reservedBytes - liveBytes > 1.5 * taken + smallSurplus) this.trim();
    this.#stepPeak = liveBytes;
  }

  report(): MemoryReport {
    return { ...this.#report };
  }

  resetPeak(): void {
    this.#report.peakBytes = this.#report.liveBytes;
  }

  #reserve(size: number, operation: string): number {
    const fits = () => this.#report.reservedBytes + size <= this.budget;
    // Free buffers of other sizes may be all that is in the way.
    if (!fits()) this.#reclaim();
    if (!fits()) throw this.#outOfMemory(size, operation, `and the budget is ${this.budget}`);
    const id = this.#made;
    try {
      this.#reserved.set(id, { resource: this.#create(size, id, operation), size });
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw this.#outOfMemory(size, operation, `and the machine gives no more (${cause.message})`);
    }
    this.#made++;
    this.#report.reservedBuffers++;
    this.#report.reservedBytes += size;
    return id;
  }

  #outOfMemory(size: number, operation: string, reason: string): OutOfMemoryError {
    const { liveBytes, reservedBytes } = this.#report;
    return new OutOfMemoryError(
      `${operation}: a buffer of ${size} bytes does not fit: tensors hold ${liveBytes} bytes, ${reservedBytes} are reserved, ${reason}`,
    );
  }
}
