/** Bytes by key: in memory up to a budget, beyond it in a file, where there is a folder for one. */
import type { ScratchFile } from '../tensor/platform/interface.ts';
import { platform } from '../tensor/platform/platform.ts';

interface Place {
  readonly byteLength: number;
  /** Where in the file; null for a place in memory. */
  readonly offset: number | null;
  /** In memory: what lies there. */
  bytes: Uint8Array | null;
  /** In the file: a sum of what was written, that tells whether it still lies there. */
  sum: number | null;
}

/** A place is promised first and filled later, so that nobody fetches what has none. What a broken file held is lost, no more. */
export class HiddenStore {
  readonly #budget: number;
  readonly #folder: string | null;
  readonly #onNote: (note: string) => void;
  readonly #places = new Map<string, Place>();
  #file: ScratchFile | null = null;
  #fileEnd = 0;
  #fileTakesMore: boolean;
  #memoryBytes = 0;
  #diskBytes = 0;

  constructor(budget: number, folder: string | null, onNote: (note: string) => void) {
    this.#budget = budget;
    this.#folder = folder;
    this.#onNote = onNote;
    this.#fileTakesMore = folder !== null;
  }

  /** Places, filled or promised. */
  get size(): number {
    return this.#places.size;
  }

  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  get diskBytes(): number {
    return this.#diskBytes;
  }

  /** Whether there is a place for so many bytes: the one that the key has, or a new one. */
  promise(key: string, byteLength: number): boolean {
    if (this.#places.has(key)) return true;
    const fits = this.#memoryBytes + byteLength <= this.#budget;
    if (!fits && !this.#fileTakesMore) return false;
    this.#places.set(key, { byteLength, offset: fits ? null : this.#fileEnd, bytes: null, sum: null });
    if (fits) this.#memoryBytes += byteLength;
    else {
      this.#fileEnd += byteLength;
      this.#diskBytes += byteLength;
    }
    return true;
  }

  /**
   * Fills the place that was promised, or changes what is there. No `readAhead` may be under way.
   *
   * @returns false where the file takes no more: the key has no place then.
   */
  async put(key: string, bytes: Uint8Array): Promise<boolean> {
    const place = this.#places.get(key);
    if (!place) return false;
    if (place.offset === null) place.bytes = bytes;
    else {
      try {
        await (await this.#openFile()).write(bytes, place.offset);
        place.sum = sumOf(bytes);
      } catch (error) {
        this.remove(key);
        if (this.#fileTakesMore) {
          this.#onNote(`${this.#folder} takes no more (${reasonOf(error)}): what has no place is computed again`);
        }
        this.#fileTakesMore = false;
        return false;
      }
    }
    return true;
  }

  /** What lies there; waits for the file. Null where nothing does, or no longer what was written. */
  get(key: string): Uint8Array | null {
    const place = this.#places.get(key);
    if (!place || place.offset === null) return place?.bytes ?? null;
    if (place.sum === null || !this.#file) return null;
    try {
      return this.#checked(place, this.#file.readNow(place.offset, place.byteLength));
    } catch (error) {
      return this.#giveUpFile(error);
    }
  }

  /** The same without waiting, of what lies in the file; null for the rest. */
  async readAhead(key: string): Promise<Uint8Array | null> {
    const place = this.#places.get(key);
    if (!place || place.offset === null || place.sum === null || !this.#file) return null;
    try {
      return this.#checked(place, await this.#file.read(place.offset, place.byteLength));
    } catch (error) {
      return this.#giveUpFile(error);
    }
  }

  remove(key: string): void {
    const place = this.#places.get(key);
    if (!place) return;
    this.#places.delete(key);
    if (place.offset === null) this.#memoryBytes -= place.byteLength;
    else {
      this.#diskBytes -= place.byteLength;
      // Holes are not filled: what goes usually goes together.
      if (this.#diskBytes === 0) this.#fileEnd = 0;
    }
  }

  clear(): void {
    for (const key of this.#places.keys()) this.remove(key);
  }

  async close(): Promise<void> {
    this.clear();
    const file = this.#file;
    this.#file = null;
    await file?.close();
  }

  async #openFile(): Promise<ScratchFile> {
    if (!this.#fileTakesMore) throw new Error('it was given up');
    this.#file ??= await platform.files.scratch(this.#folder ?? '');
    return this.#file;
  }

  #checked({ sum }: Place, bytes: Uint8Array): Uint8Array {
    if (sumOf(bytes) === sum) return bytes;
    throw new Error('it does not hold what was written');
  }

  /** Whoever cut or changed the file did not do so in one place alone. */
  #giveUpFile(error: unknown): null {
    const lost = [...this.#places].filter(([, { offset }]) => offset !== null);
    for (const [key] of lost) this.remove(key);
    if (lost.length > 0) {
      this.#onNote(
        `the file in ${this.#folder} is broken (${reasonOf(error)}): ${lost.length} samples are lost and computed again`,
      );
    }
    this.#fileTakesMore = false;
    return null;
  }
}

/** Of 32-bit words, of which each changes it, and so does their order; the bytes are a whole number of 16-bit ones. */
function sumOf({ buffer, byteOffset, byteLength }: Uint8Array): number {
  const words = new Uint32Array(buffer, byteOffset, byteLength >> 2);
  let sum = byteLength;
  for (let i = 0; i < words.length; i++) sum = (Math.imul(sum, 31) + words[i]) | 0;
  const rest = new Uint16Array(buffer, byteOffset + 4 * words.length, (byteLength >> 1) & 1);
  return (Math.imul(sum, 31) + (rest[0] ?? 0)) | 0;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
