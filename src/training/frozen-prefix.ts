/** What leaves the frozen blocks of a model, kept for each sample, so that later forward passes begin there. */
import type { BlockModel, Prefix } from '../nn/block-model.ts';
import { Dropout } from '../nn/dropout.ts';
import { Module } from '../nn/module.ts';
import type { Parameter } from '../nn/parameter.ts';
import { copyInto } from '../tensor/copy.ts';
import { tensor } from '../tensor/create.ts';
import type { Device } from '../tensor/device.ts';
import { bytesPerElement, computeDType, type DType, type NumericArray, typedArray } from '../tensor/dtype.ts';
import { ArgumentError } from '../tensor/errors.ts';
import { getOrCreate } from '../tensor/get-or-create.ts';
import { checkOptions } from '../tensor/options.ts';
import { platform } from '../tensor/platform/platform.ts';
import { scope } from '../tensor/scope.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { HiddenStore } from './hidden-store.ts';

export interface FrozenPrefixOptions {
  /** Room in memory: width · 4 bytes a token are kept. */
  bytes: number;
  /** Beyond that in a file of its own in this folder; it is gone with the run. Absent: what does not fit is computed again. */
  folder?: string;
  /**
   * `f32`, the default, keeps what was computed, and changes no bit of the training. `bf16` takes half of the room and rounds what
   * enters the blocks that train to 8 significant bits.
   */
  dtype?: 'f32' | 'bf16';
  /**
   * The tokens of each sample of a micro-batch, without padding. With it, reads from the folder begin a batch ahead; else each
   * is waited for. Has to be a function of the two numbers alone.
   */
  samples?(step: number, microBatch: number): readonly ArrayLike<number>[];
  /** Told, once each, what ends or limits the keeping; by default it is printed as a warning. */
  onNote?(note: string): void;
}

/** What is known of a sample that is kept. */
interface Entry {
  /** The block that the hidden states enter. */
  readonly block: number;
  /** What computing them took. */
  readonly operations: number;
}

/** A row of a batch. Its pass begins with what is kept of it, or else, at block 0, with its tokens. */
interface Row extends Entry {
  readonly index: number;
  readonly key: string;
  readonly tokens: Int32Array;
  readonly kept: Uint8Array | null;
}

/** Hidden states on their way from the device to where they are kept. */
interface Arriving {
  readonly block: number;
  readonly rows: readonly { key: string; operations: number; start: number; end: number }[];
  readonly values: Promise<NumericArray>;
}

/** What was read before it is needed, and of what. */
type Ahead = readonly [key: string, read: { entry: Entry; kept: Uint8Array }];

/**
 * Lets the forward passes of a model begin above its frozen blocks. What leaves them for a sample never changes again, so it is
 * kept under the tokens of the sample, wherever and whenever these come again: order, batches and padding do not matter, and other
 * tokens are another sample. A pass that meets known and new samples runs the frozen blocks for the new ones alone. When more
 * blocks freeze, what is kept is carried on from where it lies. Beyond the length of a row stand zeros; a loss that reads those
 * positions is another loss.
 *
 * Frozen are the blocks below the lowest in which anything trains or dropout is live, once the embeddings are frozen too. When a
 * block thaws, what is kept above it is dropped. While adapters are merged nothing is kept nor used. Whoever writes into frozen
 * weights by other ways than `loadStateDict` has to call `forget`.
 */
export class FrozenPrefix implements Prefix {
  readonly #model: BlockModel;
  readonly #dtype: 'f32' | 'bf16';
  readonly #samples: FrozenPrefixOptions['samples'];
  readonly #onNote: (note: string) => void;
  readonly #store: HiddenStore;
  /** With the lowest block whose input or output changes with it; what stands above all blocks is not among them. */
  readonly #parameters: readonly { readonly block: number; readonly parameter: Parameter }[];
  readonly #dropouts: readonly { readonly block: number; readonly dropout: Dropout }[];
  readonly #entries = new Map<string, Entry>();
  readonly #told = new Set<string>();
  /** Those under way, which nobody else needs to fetch. */
  readonly #awaited = new Set<string>();
  #arriving: Arriving[] = [];
  /** Of this batch, read ahead. */
  #ahead = new Map<string, Ahead[1]>();
  /** Of the next one. */
  #reading: Promise<Ahead[]> | null = null;
  #stopListening: (() => void)[] = [];
  /** Of a hidden state, once one was computed. */
  #form: { width: number; dtype: DType } | null = null;
  #operationsSaved = 0;

  /** @throws ArgumentError for a model without blocks, and options that are unknown or out of range. */
  constructor(model: unknown, options: FrozenPrefixOptions) {
    const what = 'cacheFrozenPrefix';
    checkOptions(what, options, ['bytes', 'folder', 'dtype', 'samples', 'onNote']);
    const { bytes, folder = null, dtype = 'f32', samples, onNote = platform.warn } = options;
    if (!isBlockModel(model)) {
      throw new ArgumentError(
        `${what}: the model has no blocks (allowed: a Transformer, a Decoder, or another BlockModel)`,
      );
    }
    if (!(bytes >= 0)) throw new ArgumentError(`${what}: bytes is ${bytes} (allowed: numbers of at least 0)`);
    if (dtype !== 'f32' && dtype !== 'bf16') {
      throw new ArgumentError(`${what}: dtype is ${String(dtype)} (allowed: f32, bf16)`);
    }
    this.#model = model;
    this.#dtype = dtype;
    this.#samples = samples;
    this.#onNote = (note) => onNote(`${what}: ${note}`);
    this.#store = new HiddenStore(bytes, folder, this.#onNote);
    const ofBlocks = model.blocks.flatMap((each, block) =>
      each.parameters().map((parameter) => ({ block, parameter })),
    );
    const embeddings = model.parameters().filter(({ kind }) => kind === 'embedding');
    this.#parameters = [...ofBlocks, ...embeddings.map((parameter) => ({ block: 0, parameter }))];
    this.#dropouts = model.blocks.flatMap((block, i) =>
      [...block.namedModules().values()].flatMap((each) =>
        each instanceof Dropout && each.rate > 0 ? [{ block: i, dropout: each }] : [],
      ),
    );
  }

  /** The block that passes begin at where all samples are known; 0: nothing is frozen, or nothing may be kept. */
  get block(): number {
    if (this.#parameters.some(({ parameter }) => parameter.original !== null)) return 0;
    return Math.min(this.#firstDropout, this.#frozenBlocks);
  }

  /** What is kept: samples, and bytes in memory and in the folder. */
  get kept(): { samples: number; memoryBytes: number; diskBytes: number } {
    const { memoryBytes, diskBytes } = this.#store;
    return { samples: this.#entries.size, memoryBytes, diskBytes };
  }

  /**
   * Floating-point operations that were not made: as many as it took to compute what was kept, whenever it was used. Padding of the
   * batch in which it was computed counts, so with rows of many lengths this is not exactly what the batch at hand would have taken.
   */
  get operationsSaved(): number {
    return this.#operationsSaved;
  }

  enter(tokens: Tensor, lengths: Tensor | null): { block: number; hidden: Tensor } | null {
    const { block } = this;
    if (block === 0 || tokens.size === 0) return null;
    const rows = this.#rowsOf(tokens, lengths, block);
    return rows && { block, hidden: scope('frozen prefix', () => this.#hiddenOf(rows, tokens, lengths, block)) };
  }

  /**
   * To be called before each batch of a training: keeps what was computed since, and begins to read what the next batch needs.
   * Until the first call the model runs as ever.
   */
  async prepare(next: { step: number; microBatch: number } | null): Promise<void> {
    this.#listen();
    if (this.#firstDropout < this.#frozenBlocks) {
      this.#tellOnce(
        'dropout',
        `dropout is live in block ${this.#firstDropout}: blocks from there on run, frozen or not`,
      );
    }
    this.#ahead = new Map(await this.#reading);
    this.#reading = null;
    await this.#keepArrived();
    if (next && this.#samples && this.#store.diskBytes > 0) {
      this.#reading = this.#read(this.#samples(next.step, next.microBatch));
    }
  }

  /** Drops all that is kept. */
  forget(): void {
    this.#dropAbove(0);
  }

  /** Drops all that is kept, with its file, and leaves the model. */
  async close(): Promise<void> {
    for (const stop of this.#stopListening.splice(0)) stop();
    if (this.#model.prefix === this) this.#model.prefix = null;
    this.forget();
    await this.#reading;
    this.#reading = null;
    await this.#store.close();
  }

  get #frozenBlocks(): number {
    const live = this.#parameters.filter(({ parameter }) => !parameter.isFrozen).map(({ block }) => block);
    return Math.min(this.#model.blocks.length, ...live);
  }

  get #firstDropout(): number {
    return this.#dropouts.find(({ dropout }) => dropout.training)?.block ?? this.#model.blocks.length;
  }

  #listen(): void {
    if (this.#stopListening.length > 0) return;
    this.#model.prefix = this;
    for (const { block, parameter } of this.#parameters) {
      const stop = parameter.onFreezeChange(() => {
        const dropped = parameter.isFrozen ? 0 : this.#dropAbove(block);
        if (dropped > 0) this.#onNote(`${parameter.name} trains again: what was kept of ${dropped} samples is dropped`);
      });
      this.#stopListening.push(stop);
    }
  }

  /** @returns null where the tokens or lengths never were on the host, which has to compare them. */
  #rowsOf(tokens: Tensor, lengths: Tensor | null, block: number): Row[] | null {
    const values = tokens.storage.hostIntegers;
    const counts = lengths ? lengths.storage.hostIntegers : null;
    if (!values || (lengths && !counts)) {
      this.#tellOnce(
        'tokens',
        'tokens or lengths are no integers from the host, so that samples cannot be told apart: all blocks run',
      );
      return null;
    }
    const [batch, time] = tokens.shape;
    return Array.from({ length: batch }, (_, index) => {
      const count = lengths && counts ? counts[lengths.offset + index * lengths.strides[0]] : time;
      const start = tokens.offset + index * tokens.strides[0];
      const own = Int32Array.from(
        { length: Math.max(0, Math.min(time, count)) },
        (_, i) => values[start + i * tokens.strides[1]],
      );
      const key = keyOf(own);
      return { index, key, tokens: own, ...this.#find(key, block) };
    });
  }

  #find(key: string, block: number): Entry & { kept: Uint8Array | null } {
    const entry = this.#entries.get(key);
    // An evaluation may have kept it above where dropout is live in training.
    if (!entry || entry.block > block) return unknown;
    const ahead = this.#ahead.get(key);
    const kept = ahead?.entry === entry ? ahead.kept : this.#store.get(key);
    if (kept) return { ...entry, kept };
    this.#entries.delete(key);
    return unknown;
  }

  #hiddenOf(rows: readonly Row[], tokens: Tensor, lengths: Tensor | null, to: number): Tensor {
    const [batch, time] = tokens.shape;
    const behind = new Map<number, Row[]>();
    for (const row of rows) {
      this.#operationsSaved += row.operations;
      if (row.block < to) getOrCreate(behind, row.block, () => []).push(row);
    }
    const [first] = behind.values();
    if (first?.length === batch) return this.#compute(first, tokens, lengths, to);
    const { device } = tokens;
    const places = rows.filter(({ block }) => block === to).map((row): [number, Row] => [row.index, row]);
    const whole = this.#upload(places, [batch, time], device);
    for (const group of behind.values()) {
      const values = new Int32Array(group.length * time);
      for (const [i, row] of group.entries()) values.set(row.tokens, i * time);
      const ownTokens = tensor(values, { device, shape: [group.length, time] });
      const ownLengths =
        lengths &&
        tensor(
          Int32Array.from(group, (row) => row.tokens.length),
          { device },
        );
      const hidden = this.#compute(group, ownTokens, ownLengths, to);
      for (const [i, { index }] of group.entries()) {
        const [sample, ...strides] = hidden.strides;
        const one = hidden.view(
          { shape: hidden.shape.slice(1), strides, offset: hidden.offset + i * sample },
          'sample',
        );
        copyInto(one, whole, whole.strides.slice(1), index * whole.strides[0]);
      }
    }
    return whole;
  }

  /** Runs the blocks up to `to` for rows that all begin at the same one. */
  #compute(rows: readonly Row[], tokens: Tensor, lengths: Tensor | null, to: number): Tensor {
    const { device, shape } = tokens;
    const [{ block: from }] = rows;
    const before = device.work.flops;
    const entering = from === 0 ? this.#model.embed(tokens) : this.#upload([...rows.entries()], shape, device);
    const hidden = this.#model.through(entering, lengths, from, to);
    this.#form = { width: hidden.shape[2], dtype: hidden.dtype };
    this.#keep(rows, hidden, to, (device.work.flops - before) / rows.length);
    return hidden;
  }

  /** What is kept of rows, each at its place in the batch; elsewhere zeros. */
  #upload(places: readonly [number, Row][], [batch, time]: Shape, device: Device): Tensor {
    if (!this.#form) throw new ArgumentError('cacheFrozenPrefix: nothing was kept yet');
    const { width, dtype } = this.#form;
    const values = typedArray(computeDType(dtype), batch * time * width);
    for (const [place, { kept }] of places) {
      if (kept) decode(kept, this.#dtype, values.subarray(place * time * width, (place + 1) * time * width));
    }
    return tensor(values, { device, dtype, shape: [batch, time, width] });
  }

  /** Fetches the hidden states of rows that there is a place for. */
  #keep(rows: readonly Row[], hidden: Tensor, block: number, operations: number): void {
    const [, time, width] = hidden.shape;
    const elementBytes = this.#dtype === 'bf16' ? 2 : bytesPerElement[computeDType(hidden.dtype)];
    const bytesOf = (row: Row) => row.tokens.length * width * elementBytes;
    const wanted: Arriving['rows'][number][] = [];
    for (const [i, row] of rows.entries()) {
      const { key, tokens } = row;
      if (this.#awaited.has(key) || (this.#entries.get(key)?.block ?? 0) > block) continue;
      if (!this.#store.promise(key, bytesOf(row))) {
        this.#tellOnce(
          'full',
          `the room is full: ${this.#store.size} samples are kept, others are computed again each time`,
        );
        continue;
      }
      this.#awaited.add(key);
      const start = i * time * width;
      wanted.push({ key, operations: row.operations + operations, start, end: start + tokens.length * width });
    }
    if (wanted.length === 0) return;
    const values = hidden.data();
    // A failure is thrown where they are awaited.
    values.catch(() => {});
    this.#arriving.push({ block, rows: wanted, values });
  }

  async #keepArrived(): Promise<void> {
    for (const { block, rows, values: coming } of this.#arriving.splice(0)) {
      const values = await coming;
      for (const { key, operations, start, end } of rows) {
        this.#awaited.delete(key);
        const isKept = await this.#store.put(key, encode(values.subarray(start, end), this.#dtype));
        if (isKept) this.#entries.set(key, { block, operations });
        else this.#entries.delete(key);
      }
    }
  }

  async #read(samples: readonly ArrayLike<number>[]): Promise<Ahead[]> {
    const reads = samples.map(async (tokens): Promise<Ahead[]> => {
      const key = keyOf(Int32Array.from(tokens));
      const entry = this.#entries.get(key);
      const kept = entry ? await this.#store.readAhead(key) : null;
      return entry && kept ? [[key, { entry, kept }]] : [];
    });
    return (await Promise.all(reads)).flat();
  }

  /** Drops what enters blocks above this one. @returns of how many samples. */
  #dropAbove(block: number): number {
    let dropped = 0;
    for (const [key, entry] of this.#entries) {
      if (entry.block <= block) continue;
      this.#entries.delete(key);
      this.#store.remove(key);
      dropped++;
    }
    this.#arriving = this.#arriving.filter((arriving) => {
      if (arriving.block <= block) return true;
      for (const { key } of arriving.rows) {
        this.#awaited.delete(key);
        if (!this.#entries.has(key)) this.#store.remove(key);
      }
      return false;
    });
    return dropped;
  }

  #tellOnce(subject: string, note: string): void {
    if (this.#told.has(subject)) return;
    this.#told.add(subject);
    this.#onNote(note);
  }
}

const unknown = { block: 0, operations: 0, kept: null } as const;

function isBlockModel(model: unknown): model is BlockModel {
  return model instanceof Module && 'blocks' in model && 'embed' in model && 'through' in model;
}

/** The tokens themselves, two characters each. */
function keyOf(tokens: Int32Array): string {
  const halves = new Uint16Array(tokens.buffer, tokens.byteOffset, 2 * tokens.length);
  const pieces: string[] = [];
  for (let i = 0; i < halves.length; i += 4096) pieces.push(String.fromCharCode(...halves.subarray(i, i + 4096)));
  return pieces.join('');
}

/** In bytes of its own. */
function encode(values: NumericArray, dtype: 'f32' | 'bf16'): Uint8Array {
  if (dtype === 'f32') return new Uint8Array(values.slice().buffer);
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  const rounded = Uint16Array.from(bits, (each) => {
    const isNumber = (each & 0x7fffffff) <= 0x7f800000;
    // To the nearer of the two, the even one in the middle.
    return isNumber ? (each + 0x7fff + ((each >>> 16) & 1)) >>> 16 : 0x7fc0;
  });
  return new Uint8Array(rounded.buffer);
}

function decode(bytes: Uint8Array, dtype: 'f32' | 'bf16', values: NumericArray): void {
  const { buffer, byteOffset, byteLength } = bytes;
  if (dtype === 'f32') {
    const kept = typedArray(
      values instanceof Float64Array ? 'f64' : 'f32',
      byteLength / values.BYTES_PER_ELEMENT,
      buffer,
      byteOffset,
    );
    values.set(kept);
  } else {
    const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
    const widened = new Float32Array(Uint32Array.from(halves, (each) => each << 16).buffer);
    values.set(widened);
  }
}
