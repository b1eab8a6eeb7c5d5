/** The small language models that tasks are fine-tuned from, and the classifiers built on them. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { makeFolder } from '../../command/run-folder.ts';
import {
  AdamW,
  addLoRA,
  crossEntropy,
  type Device,
  FileFormatError,
  Random,
  readCheckpoint,
  readSafetensors,
  type Saved,
  type StateDict,
  Training,
  Transformer,
  tensor,
  warmupCosine,
  writeCheckpoint,
  writeSafetensors,
} from '../../src/index.ts';
import { writeAside } from '../../src/tensor/platform/write-aside.ts';
import { randomBelow, textKey } from '../data/random.ts';
import { lora } from './protocol.ts';
import { drawFrom, fileKinds } from './tasks/file-texts.ts';
import { partOf } from './tasks/sequence-tasks.ts';
import { type BaseName, type Task, vocabulary, windowLength } from './tasks/task.ts';

/** Two blocks of the usual decoder: RMSNorm, rotary positions, q k v o attention, SwiGLU gate up down. */
export const architecture = { width: 32, heads: 2, hidden: 88, blocks: 2, causal: true } as const;

/** Steps a base is trained for, where it is no smoke run. */
export const pretrainingSteps = 1500;

const pretraining = { batch: 16, learningRate: 3e-3, warmup: 0.05, seed: 77, version: 1 } as const;

/** Stream of the adapters' initial values; the head's are drawn from another. */
const adapterStream = 21;

/** One row of tokens, one longer than a window, for a language model to learn. */
type DrawRow = (...key: readonly number[]) => ArrayLike<number>;

const rowsOf: Readonly<Record<BaseName, DrawRow>> = {
  files(...key) {
    const kinds = fileKinds();
    return drawFrom(kinds[randomBelow(kinds.length, ...key, 1)].training, ...key, 2);
  },
  sequences(...key) {
    for (let attempt = 0; ; attempt++) {
      const row = sequenceRow((limit, ...part) => randomBelow(limit, ...key, attempt, ...part));
      // What is held out of the tasks is held out here as well.
      if (partOf(row.slice(0, windowLength)) === 'training') return row;
    }
  },
};

/** Repetitions, arithmetic progressions, copies and plain noise; none of them tells a label of the tasks. */
function sequenceRow(below: (limit: number, ...key: readonly number[]) => number): number[] {
  const size = vocabulary.sequences;
  const length = windowLength + 1;
  const alphabet = 2 + below(size - 1, 1);
  const noise = Array.from({ length }, (_, i) => below(alphabet, 2, i));
  switch (below(4, 3)) {
    case 0: {
      const period = 2 + below(7, 4);
      return noise.map((_, i) => noise[i % period]);
    }
    case 1: {
      const [start, stride] = [below(size, 5), 1 + below(size - 1, 6)];
      return noise.map((_, i) => (start + i * stride) % size);
    }
    case 2:
      return noise.map((token, i) => (i < length / 2 ? token : noise[i - Math.floor(length / 2)]));
    default:
      return noise;
  }
}

export function buildBase(name: BaseName, device: Device): Transformer {
  const config = { ...architecture, vocabulary: vocabulary[name], head: 'language-model' } as const;
  return new Transformer(config, { device, random: new Random(pretraining.seed) });
}

/** The rows of one step. */
function pretrainingBatch(name: BaseName, s: number): Int32Array {
  const rows = new Int32Array(pretraining.batch * (windowLength + 1));
  for (let i = 0; i < pretraining.batch; i++) {
    rows.set(Array.from(rowsOf[name](textKey(name), s, i)).slice(0, windowLength + 1), i * (windowLength + 1));
  }
  return rows;
}

/** Where the bases are kept, and how long they are trained. */
export interface Bases {
  folder: string;
  steps: number;
}

/** Beside the folder of a run, so that the next run finds them. */
export function basesBeside(path: string): string {
  return join(dirname(path), 'bases');
}

/**
 * The weights of a small language model that a task is fine-tuned from: trained once with a fixed seed, then kept in a file. Its
 * name is a hash of what it was made of, the first rows of the data among it. Killed on the way, it goes on from its last tenth.
 *
 * @throws RunFolderError or FileWriteError where it cannot be kept.
 */
export async function loadBase(
  name: BaseName,
  device: Device,
  { folder, steps }: Bases,
  onProgress: (message: string) => void = () => {},
): Promise<StateDict> {
  const hash = createHash('sha256').update(
    JSON.stringify([architecture, { ...pretraining, steps }, vocabulary[name], device.kind]),
  );
  for (const s of [1, 2]) hash.update(pretrainingBatch(name, s));
  const file = join(folder, `${name}-${hash.digest('hex').slice(0, 16)}.safetensors`);
  const known = readBase(file, onProgress);
  if (known) return known;
  makeFolder(folder);
  const checkpoint = `${file.slice(0, -extname(file).length)}.checkpoint`;
  const { state, loss } = await pretrain(name, device, { steps, checkpoint }, onProgress);
  await writeAside(file, (write) => write(writeSafetensors(state, { base: name, loss: loss.toFixed(4) })));
  rmSync(checkpoint, { force: true });
  return state;
}

function readBase(file: string, onProgress: (message: string) => void): StateDict | null {
  if (!existsSync(file)) return null;
  try {
    return readSafetensors(readFileSync(file)).state;
  } catch (error) {
    if (!(error instanceof FileFormatError)) throw error;
    onProgress(`${file} cannot be used and is made again (${error.message})`);
    return null;
  }
}

/** A checkpoint; null where there is none, or a failing disk has damaged it. */
export async function readIfWhole(path: string, onDamage: (reason: string) => void = () => {}): Promise<Saved | null> {
  if (!existsSync(path)) return null;
  try {
    return await readCheckpoint(path);
  } catch (error) {
    if (!(error instanceof FileFormatError)) throw error;
    onDamage(error.message);
    return null;
  }
}

async function pretrain(
  name: BaseName,
  device: Device,
  { steps, checkpoint }: { steps: number; checkpoint: string },
  onProgress: (message: string) => void,
) {
  const { batch, learningRate } = pretraining;
  const model = buildBase(name, device);
  const optimizer = new AdamW(model.parameters(), { learningRate, weightDecay: 0.01, maxGradientNorm: 1 });
  const warmup = Math.floor(pretraining.warmup * steps);
  const training = new Training({
    ...{ model, optimizer, steps, schedule: warmupCosine({ peak: learningRate, steps, warmup, final: 0 }) },
    loss(s) {
      const rows = tensor(pretrainingBatch(name, s), { device, shape: [batch, windowLength + 1] });
      const targets = rows.slice([0, 1], [batch, windowLength + 1]);
      return crossEntropy(model.call(rows.slice([0, 0], [batch, windowLength])), targets);
    },
  });
  const saved = await readIfWhole(checkpoint, (reason) =>
    onProgress(`${checkpoint} cannot be used, the base is trained from its first step (${reason})`),
  );
  if (saved !== null) await training.restore(saved);
  let loss = Number.NaN;
  await training.run({
    async onStep({ step }) {
      if (step % Math.ceil(steps / 10) !== 0 && step !== steps) return;
      loss = await training.loss();
      if (step < steps) await writeCheckpoint(checkpoint, await training.save());
      onProgress(`pretraining the base '${name}': step ${step} of ${steps}, loss ${loss.toFixed(3)}`);
    },
  });
  const state = await model.stateDict();
  optimizer.release();
  for (const parameter of model.parameters()) parameter.release('it was saved');
  device.trim();
  return { state, loss };
}

export interface ClassifierSource {
  device: Device;
  task: Task;
  base: StateDict;
  seed: number;
  /** Whether adapters train on a frozen base. */
  adapters: boolean;
}

/**
 * The classifier that an arm trains: the base with a fresh head of `Random(seed)`. With adapters the base stays as it is, and the
 * head trains beside them, because the base has none for this task.
 *
 * @param perturb every weight is multiplied by 1 + this.
 */
export async function buildClassifier(
  { task, device, seed, base, adapters }: ClassifierSource,
  perturb = 0,
): Promise<Transformer> {
  const head = { classes: task.classes.length };
  const config = { ...architecture, vocabulary: vocabulary[task.base], head } as const;
  const model = new Transformer(config, { device, random: new Random(seed) });
  const state: StateDict = { ...base, 'head.weight': (await model.stateDict())['head.weight'] };
  for (const [name, { shape, data }] of Object.entries(state)) {
    if (perturb !== 0) state[name] = { shape, data: data.map((value) => value * (1 + perturb)) };
  }
  model.loadStateDict(state);
  if (adapters) addLoRA(model, { ...lora, random: new Random(seed, adapterStream), alsoTrain: ['head'] });
  return model;
}
