/** The weights of a Hugging Face folder: one safetensors file, or several with an index. Read one tensor at a time. */
import { decodeTensor, headerLengthBytes, headerLengthOf, parseHeader, type StoredTensor } from '../nn/safetensors.ts';
import type { NumericArray } from '../tensor/dtype.ts';
import { FileFormatError } from '../tensor/errors.ts';
import type { OpenFile } from '../tensor/platform/interface.ts';
import { platform } from '../tensor/platform/platform.ts';
import { isMissing, isObject, readJsonFile, shown } from './folder.ts';

/** An open file and the place of a tensor in it. */
interface Place {
  path: string;
  file: OpenFile;
  /** Of the first value in the file. */
  valuesStart: number;
  stored: StoredTensor;
}

/**
 * The tensors of open files by name. Opening reads the headers alone; `read` fetches one tensor from the disk, so that a model
 * never lies in memory twice. Close it when done.
 */
export class WeightFiles {
  readonly #places = new Map<string, Place>();
  readonly #files: OpenFile[] = [];

  /**
   * The weights of a folder: `NAME.safetensors`, or the shards that `NAME.safetensors.index.json` lists.
   *
   * @throws FileFormatError for a file that is missing, cut short or malformed, or an index that does not fit its shards.
   */
  static async openFolder(folder: string, name = 'model'): Promise<WeightFiles> {
    const { join } = platform.files;
    const indexPath = join(folder, `${name}.safetensors.index.json`);
    const index = await readJsonFile(indexPath);
    const map = index ? readWeightMap(indexPath, index.weight_map) : null;
    const fileNames = map ? [...new Set(map.values())] : [`${name}.safetensors`];
    const files = new WeightFiles();
    try {
      for (const fileName of fileNames) {
        await files.#add(join(folder, fileName), (tensor) => !map || map.get(tensor) === fileName);
      }
      for (const [tensor, fileName] of map ?? []) {
        if (files.#places.has(tensor)) continue;
        throw new FileFormatError(`${indexPath}: ${tensor} is to be in ${fileName}, which does not have it`);
      }
    } catch (error) {
      await files.close();
      throw error;
    }
    return files;
  }

  get names(): string[] {
    return [...this.#places.keys()];
  }

  /** What the header says of a tensor; null where there is none of that name. */
  find(name: string): StoredTensor | null {
    return this.#places.get(name)?.stored ?? null;
  }

  /** The values of a tensor; see `decodeTensor`. @throws FileFormatError where there is none, or the file was cut. */
  async read(name: string): Promise<NumericArray> {
    const { stored, bytes } = await this.#bytesOf(name);
    return decodeTensor(name, stored, bytes);
  }

  /** The same, but BF16 as its bits. */
  async readStored(name: string): Promise<NumericArray | Uint16Array> {
    const { stored, bytes } = await this.#bytesOf(name);
    if (stored.dtype !== 'BF16') return decodeTensor(name, stored, bytes);
    return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  }

  async #bytesOf(name: string): Promise<{ stored: StoredTensor; bytes: Uint8Array }> {
    const place = this.#places.get(name);
    if (!place) throw new FileFormatError(`weights: there is no tensor ${name}`);
    const { path, file, valuesStart, stored } = place;
    const bytes = await readExactly(path, file, valuesStart + stored.start, stored.end - stored.start);
    return { stored, bytes };
  }

  async close(): Promise<void> {
    for (const file of this.#files.splice(0)) await file.close();
    this.#places.clear();
  }

  async #add(path: string, isWanted: (tensor: string) => boolean): Promise<void> {
    const file = await openForReading(path);
    this.#files.push(file);
    const { size } = file;
    try {
      const firstBytes = await readExactly(path, file, 0, Math.min(headerLengthBytes, size));
      const headerBytes = headerLengthOf(firstBytes, size);
      const valuesStart = headerLengthBytes + headerBytes;
      const text = await readExactly(path, file, headerLengthBytes, headerBytes);
      for (const [name, stored] of parseHeader(text, size - valuesStart).tensors) {
        if (isWanted(name)) this.#places.set(name, { path, file, valuesStart, stored });
      }
    } catch (error) {
      if (error instanceof FileFormatError) throw new FileFormatError(`${path}: ${error.message}`, { cause: error });
      throw error;
    }
  }
}

async function openForReading(path: string): Promise<OpenFile> {
  try {
    return await platform.files.open(path);
  } catch (cause) {
    throw new FileFormatError(`${path}: ${isMissing(cause) ? 'there is no such file' : 'cannot be opened'}`, { cause });
  }
}

async function readExactly(path: string, file: OpenFile, position: number, length: number): Promise<Uint8Array> {
  const bytes = await file.read(position, length);
  if (bytes.length === length) return bytes;
  throw new FileFormatError(`${path}: ends at ${position + bytes.length} bytes, before its values do`);
}

/** Tensor name → file name. A shard lies in the folder itself: an index cannot point elsewhere. */
function readWeightMap(path: string, value: unknown): Map<string, string> {
  const entries = isObject(value) ? Object.entries(value) : [];
  if (entries.length === 0) throw new FileFormatError(`${path}: has no weight_map`);
  return new Map(
    entries.map(([tensor, file]): [string, string] => {
      if (typeof file === 'string' && /^[^/\\]+\.safetensors$/.test(file)) return [tensor, file];
      throw new FileFormatError(`${path}: ${tensor} is in ${shown(file)} (allowed: a .safetensors file beside it)`);
    }),
  );
}
