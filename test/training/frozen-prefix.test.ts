/** Trainings that keep what leaves their frozen blocks come to the same bits as those that do not. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import {
  AdamW,
  ArgumentError,
  addLoRA,
  crossEntropy,
  Decoder,
  type Device,
  type FrozenPrefixOptions,
  Linear,
  mergeLoRA,
  noGrad,
  ParameterRegistry,
  type Policy,
  Random,
  step,
  Training,
  Transformer,
  tensor,
  unmergeLoRA,
} from '../../src/index.ts';
import type { ScratchFile } from '../../src/tensor/platform/interface.ts';
import { platform } from '../../src/tensor/platform/platform.ts';
import { cpu, onEachDevice } from '../devices.ts';
import { runs } from '../shapes.ts';
import { temporaryFolder } from '../temporary-folder.ts';

const vocabulary = 11;
const blocks = 3;

/** What freezes or thaws after the update of a step: all below a block, the embeddings too, or from a block on. */
interface Change {
  step: number;
  freezeBelow?: number;
  thawFrom?: number;
}

interface Case {
  seed: number;
  kind: 'transformer' | 'classifier' | 'decoder';
  adapters: boolean;
  /** Tokens of each sample. */
  lengths: readonly number[];
  batch: number;
  steps: number;
  changes: readonly Change[];
}

const anyCase: fc.Arbitrary<Case> = fc.record({
  seed: fc.nat(),
  kind: fc.constantFrom('transformer', 'classifier', 'decoder'),
  adapters: fc.boolean(),
  lengths: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 3, maxLength: 9 }),
  batch: fc.integer({ min: 2, max: 5 }),
  steps: fc.constant(14),
  changes: fc.array(
    fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({
          step: fc.integer({ min: 1, max: 12 }),
          freezeBelow: fc.integer({ min: 1, max: blocks }),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          step: fc.integer({ min: 1, max: 15 }),
          thawFrom: fc.integer({ min: 0, max: blocks - 1 }),
        }),
      },
    ),
    { minLength: 1, maxLength: 5 },
  ),
});

function makeModel(device: Device, { kind, seed, adapters }: Case): Transformer | Decoder {
  const random = new Random(seed);
  const sizes = { vocabulary, width: 16, heads: 4, hidden: 20, blocks };
  const model =
    kind === 'decoder'
      ? new Decoder(
          {
            ...{
              ...sizes,
              keyHeads: 2,
              headSize: 4,
              contextLength: 12,
              positions: { base: 100, size: 4, scaling: null },
            },
            ...{ normalization: 'rms', epsilon: 1e-5, headNorms: false, feedForward: 'swiglu', tiedHead: false },
            ...{ biases: { queryKeyValue: true, output: false, feedForward: false }, windows: [null, 3, null] },
          },
          { device, random },
        )
      : new Transformer(
          {
            ...{ ...sizes, normalization: 'layer', feedForward: 'gelu', positions: { learned: 12 } },
            ...(kind === 'classifier' ? { head: { classes: 3 }, causal: false } : { head: 'language-model' }),
          },
          { device, random },
        );
  if (adapters) addLoRA(model, { rank: 2, random, alsoTrain: ['head'] });
  return model;
}

/** A training over epochs in a new order each, the last batch of each as long as what is left. */
function make(device: Device, each: Case, cacheFrozenPrefix?: FrozenPrefixOptions) {
  const { kind, seed, lengths, batch, steps, changes } = each;
  const model = makeModel(device, each);
  const registry = new ParameterRegistry(model);
  const trained = model.parameters().filter(({ isFrozen }) => !isFrozen);
  const optimizer = new AdamW(trained, { learningRate: 0.01, maxGradientNorm: 0.5 });
  const random = new Random(seed, 1);
  const samples = lengths.map((length) => Array.from({ length }, () => random.integer(vocabulary)));
  const perEpoch = Math.ceil(samples.length / batch);
  const indicesOf = (s: number): number[] => {
    const epoch = Math.floor((s - 1) / perEpoch);
    const order = samples.map((_, i) => i);
    const shuffling = new Random(seed, 100 + epoch);
    for (let i = order.length - 1; i > 0; i--) {
      const j = shuffling.integer(i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    const start = ((s - 1) % perEpoch) * batch;
    return order.slice(start, start + batch);
  };
  const lossOf = (indices: readonly number[]) => {
    const rows = indices.map((i) => samples[i]);
    const time = Math.max(...rows.map(({ length }) => length));
    const padded = (fill: number, of: (token: number) => number) =>
      Int32Array.from(rows.flatMap((row) => [...row.map(of), ...new Array<number>(time - row.length).fill(fill)]));
    const tokens = tensor(
      padded(0, (token) => token),
      { device, shape: [rows.length, time] },
    );
    const counts = tensor(
      Int32Array.from(rows, ({ length }) => length),
      { device },
    );
    const logits = model instanceof Decoder ? model.call(tokens, { lengths: counts }) : model.call(tokens, counts);
    if (kind === 'classifier')
      return crossEntropy(
        logits,
        tensor(
          Int32Array.from(indices, (i) => i % 3),
          { device },
        ),
      );
    const targets = tensor(
      padded(-100, (token) => (token + 1) % vocabulary),
      { device, shape: [rows.length, time] },
    );
    return crossEntropy(logits, targets);
  };
  const policy: Policy = {
    afterStep(s) {
      for (const { step: at, freezeBelow = 0, thawFrom = blocks } of changes) {
        if (at !== s) continue;
        for (const entry of registry.entries) {
          const block = entry.block ?? (entry.kind === 'embedding' ? 0 : blocks);
          // Adapters' base stays frozen.
          if (!entry.parameters.every((parameter) => trained.includes(parameter))) continue;
          if (block < freezeBelow) registry.freeze(entry, { step: s, reason: 'test' });
          else if (block >= thawFrom) registry.thaw(entry, { step: s, reason: 'test' });
        }
      }
    },
  };
  const training = new Training({
    ...{ model, optimizer, registry, steps, policies: [policy], cacheFrozenPrefix },
    loss: (s) => lossOf(indicesOf(s)),
  });
  const losses: number[] = [];
  const evaluations: number[] = [];
  return {
    training,
    model,
    samplesOf: (s: number) => indicesOf(s).map((i) => samples[i]),
    async advanceTo(end: number) {
      while (training.step < end) {
        await training.advance();
        losses.push(await training.loss());
        if (training.step % 3 > 0) continue;
        evaluations.push(await step(() => noGrad(() => lossOf(samples.map((_, i) => i))).item()));
      }
    },
    async outcome() {
      await training.end();
      const state = await model.stateDict();
      const weights = Object.values(state).map(({ data }) =>
        Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex'),
      );
      optimizer.release();
      for (const parameter of model.parameters()) parameter.release('its training was over');
      return { losses, evaluations, weights, events: training.registry.events };
    },
  };
}

const bytesOfSample = 12 * 16 * 4;
const silently = { onNote() {} };

/** All kinds of models and places, freezes, a thaw, and a last batch of one sample. */
const known: Case = {
  ...{ seed: 1, kind: 'transformer', adapters: false, lengths: [6, 6, 6, 6, 6, 6, 6], batch: 3, steps: 30 },
  changes: [
    { step: 2, freezeBelow: 1 },
    { step: 8, freezeBelow: 3 },
    { step: 17, thawFrom: 2 },
    { step: 21, freezeBelow: 3 },
  ],
};

onEachDevice((device) => {
  test('any freezes, thaws, batches and places to keep it change no bit, nor does a resume', {
    timeout: 60_000,
  }, async () => {
    const places: Record<string, FrozenPrefixOptions> = {
      memory: { bytes: 2 ** 20 },
      'half in memory': { bytes: 3 * bytesOfSample },
      'half in memory, half in a folder': { bytes: 3 * bytesOfSample, folder: temporaryFolder() },
      'all in a folder': { bytes: 0, folder: temporaryFolder() },
    };
    const stops = fc.integer({ min: 1, max: 13 });
    const property = async (each: Case, place: string, readsAhead: boolean, stop: number) => {
      const plain = make(device, each);
      await plain.advanceTo(each.steps);
      const expected = await plain.outcome();
      const options = { ...places[place], ...silently };
      const kept = make(device, each, { ...options, ...(readsAhead && { samples: (s) => kept.samplesOf(s) }) });
      await kept.advanceTo(stop);
      const checkpoint = await kept.training.save();
      await kept.advanceTo(each.steps);
      expect(await kept.outcome()).toEqual(expected);
      const resumed = make(device, each, options);
      await resumed.training.restore(checkpoint);
      await resumed.advanceTo(each.steps);
      const { evaluations, ...rest } = await resumed.outcome();
      expect(rest).toEqual({ ...rest, weights: expected.weights, events: expected.events });
      expect(rest.losses).toEqual(expected.losses.slice(stop));
    };
    const adapters = true;
    await fc.assert(fc.asyncProperty(anyCase, fc.constantFrom(...Object.keys(places)), fc.boolean(), stops, property), {
      ...runs(device.kind === 'cpu' ? 8 : 2),
      examples: [
        [known, 'all in a folder', true, 10],
        [
          { ...known, kind: 'decoder', adapters, lengths: [3, 7, 2, 9, 4, 4, 12] },
          'half in memory, half in a folder',
          true,
          4,
        ],
        [{ ...known, kind: 'classifier', lengths: [5, 1, 2, 12, 3] }, 'memory', false, 13],
      ],
    });
  });
});

test('blocks that are not run are counted, with what they would have taken', async () => {
  const plain = make(cpu, known);
  await plain.advanceTo(known.steps);
  const notes: string[] = [];
  const kept = make(cpu, known, { bytes: 2 ** 20, onNote: (note) => notes.push(note) });
  const { training } = kept;
  if (!training.prefix) expect.fail('nothing is kept');
  const blocksAt: number[] = [];
  for (const s of [2, 7, 16, 18, 30]) {
    await kept.advanceTo(s);
    blocksAt.push(training.prefix.block);
  }
  expect(blocksAt).toEqual([1, 1, 3, 2, 3]);
  expect(training.prefix.kept).toEqual({ samples: 7, memoryBytes: 7 * 6 * 16 * 4, diskBytes: 0 });
  const { forward, forwardSaved, backward } = training.operations;
  const { operations } = plain.training;
  expect(forward + forwardSaved).toBeCloseTo(operations.forward, 0);
  expect(backward).toBe(operations.backward);
  expect(forwardSaved / operations.forward).toBeGreaterThan(0.25);
  expect(notes).toEqual([
    'cacheFrozenPrefix: blocks.2.attentionNorm.gain trains again: what was kept of 7 samples is dropped',
  ]);
  await kept.outcome();
  expect(training.prefix.kept).toEqual({ samples: 0, memoryBytes: 0, diskBytes: 0 });
  expect(kept.model.prefix).toBeNull();
  await plain.outcome();
});

test('bf16 takes half of the room and stays close', async () => {
  const plain = make(cpu, known);
  await plain.advanceTo(known.steps);
  const kept = make(cpu, known, { bytes: 2 ** 20, dtype: 'bf16' });
  await kept.advanceTo(known.steps);
  expect(kept.training.prefix?.kept.memoryBytes).toBe(7 * 6 * 16 * 2);
  const [expected, { losses }] = [await plain.outcome(), await kept.outcome()];
  expect(losses).not.toEqual(expected.losses);
  for (const [i, loss] of losses.entries()) expect(loss).toBeCloseTo(expected.losses[i], 1);
});

describe('where it cannot keep, it says so and the training goes on', () => {
  /** The notes of a training that comes to the same as one that keeps nothing. */
  async function notesOf(
    each: Case,
    options: FrozenPrefixOptions,
    onStep?: (training: Training) => void,
  ): Promise<string[]> {
    const plain = make(cpu, each);
    await plain.advanceTo(each.steps);
    const notes: string[] = [];
    const kept = make(cpu, each, { ...options, onNote: (note) => notes.push(note.replace('cacheFrozenPrefix: ', '')) });
    for (let s = 1; s <= each.steps; s++) {
      await kept.advanceTo(s);
      onStep?.(kept.training);
    }
    expect(await kept.outcome()).toEqual(await plain.outcome());
    return notes;
  }
  const frozen: Case = { ...known, steps: 14, changes: [{ step: 2, freezeBelow: 2 }] };
  test('no room for all samples, or for any', async () => {
    for (const [bytes, samples] of [
      [1600, 4],
      [300, 0],
    ]) {
      const notes = await notesOf(frozen, { bytes }, ({ prefix, step }) => {
        if (step > 5) expect(prefix?.kept.samples).toBe(samples);
      });
      expect(notes).toEqual([`the room is full: ${samples} samples are kept, others are computed again each time`]);
    }
  });

  test('a folder that cannot be', async () => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, '');
    const notes = await notesOf(frozen, { bytes: 500, folder: file });
    expect(notes[0]).toMatch(/file takes no more \(.*EEXIST.*\): what has no place is computed again/);
  });

  test('a full disk', async () => {
    let written = 0;
    const notes = await withFile(
      (file) => ({
        ...file,
        async write(bytes, position) {
          written += bytes.byteLength;
          if (written > 1200) throw new Error('ENOSPC: no space left on device, write');
          await file.write(bytes, position);
        },
      }),
      () => notesOf(frozen, { bytes: 0, folder: temporaryFolder() }),
    );
    expect(notes).toHaveLength(2);
    expect(notes[0]).toMatch(
      /takes no more \(ENOSPC: no space left on device, write\): what has no place is computed again/,
    );
    expect(notes[1]).toMatch(/^the room is full: \d samples/);
  });

  test('a file that was cut, and one that someone else wrote into', async () => {
    const folder = temporaryFolder();
    for (const change of [
      (bytes: Uint8Array) => {
        bytes[5] ^= 1;
        return bytes;
      },
      () => {
        throw new Error('it was cut short');
      },
    ]) {
      let reads = 0;
      const changed = (bytes: Uint8Array) => (++reads > 9 ? change(bytes) : bytes);
      const notes = await withFile(
        (file) => ({
          ...file,
          read: async (position, length) => changed(await file.read(position, length)),
          readNow: (position, length) => changed(file.readNow(position, length)),
        }),
        () => notesOf(frozen, { bytes: 0, folder }),
      );

      expect(notes).toHaveLength(2);
      expect(notes[0]).toMatch(
        /^the file in .* is broken \(it (does not hold what was written|was cut short)\): 7 samples are lost/,
      );
      expect(notes[1]).toMatch(/^the room is full: \d samples/);
    }
    expect(readdirSync(folder)).toEqual([]);
  });

  test('dropout that is live below', async () => {
    const model = new Transformer(
      { vocabulary, width: 16, heads: 2, hidden: 20, blocks, head: 'language-model' },
      { device: cpu, random: new Random(1) },
    );
    addLoRA(model, { rank: 2, random: new Random(2), dropout: 0.1, target: /^blocks\.1\./ });
    const registry = new ParameterRegistry(model);
    for (const entry of registry.entries) if (entry.block !== 2) registry.freeze(entry, { step: 0, reason: 'test' });
    addLoRA(model.blocks[2], { rank: 2, random: new Random(2) });
    const optimizer = new AdamW(
      model.blocks[2].parameters().filter(({ isFrozen }) => !isFrozen),
      { learningRate: 0.01 },
    );
    const notes: string[] = [];
    const training = new Training({
      ...{ model, optimizer, steps: 9 },
      loss() {
        const tokens = tensor(Int32Array.of(1, 2, 3, 4), { device: cpu, shape: [2, 2] });
        return crossEntropy(model.call(tokens), tokens);
      },
      cacheFrozenPrefix: { bytes: 2 ** 20, onNote: (note) => notes.push(note) },
    });
    await training.advance();
    expect(training.prefix?.block).toBe(1);
    model.eval();
    expect(training.prefix?.block).toBe(2);
    await training.advance();
    // What was kept in evaluation lies above the dropout.
    model.train();
    await training.advance();
    const tokens = tensor(Int32Array.of(1, 2, 3, 4), { device: cpu, shape: [2, 2] });
    const entered = training.prefix?.enter(tokens, null);
    expect(entered?.block).toBe(1);
    expect(await entered?.hidden.data()).toEqual(await model.through(model.embed(tokens), null, 0, 1).data());
    expect(notes).toEqual(['cacheFrozenPrefix: dropout is live in block 1: blocks from there on run, frozen or not']);
    await training.end();
  });
});

test('loaded weights and merged adapters are not met with what was kept before', async () => {
  const kept = make(cpu, { ...known, adapters: true, kind: 'decoder' }, { bytes: 2 ** 20, ...silently });
  const { model, training } = kept;
  await kept.advanceTo(12);
  const evaluate = () =>
    step(() =>
      noGrad(async () => {
        const tokens = tensor(Int32Array.from(kept.samplesOf(1).flat()), { device: cpu, shape: [3, 6] });
        const found = await model.call(tokens).data();
        const { prefix } = model;
        model.prefix = null;
        expect(found).toEqual(await model.call(tokens).data());
        model.prefix = prefix;
      }),
    );
  await evaluate();
  mergeLoRA(model);
  expect(training.prefix?.block).toBe(0);
  await evaluate();
  unmergeLoRA(model);
  await evaluate();
  const state = await model.stateDict();
  for (const { data } of Object.values(state))
    for (let i = 0; i < data.length; i++) data[i] *= data.length > 1 ? 1.5 : 1;
  model.loadStateDict(state);
  expect(training.prefix?.kept.samples).toBe(0);
  await evaluate();
  await kept.outcome();
});

test('bad options', () => {
  const bad = (options: object, message: RegExp) => {
    expect(() => make(cpu, known, { bytes: 1, ...options })).toThrow(ArgumentError);
    expect(() => make(cpu, known, { bytes: 1, ...options })).toThrow(message);
  };
  bad({ bytes: -1 }, /bytes is -1 \(allowed: numbers of at least 0\)/);
  bad({ bytes: undefined }, /bytes is undefined/);
  bad({ dtype: 'f16' }, /dtype is f16 \(allowed: f32, bf16\)/);
  bad({ directory: 'x' }, /no option 'directory'/);
  const model = new Linear(2, 2, { device: cpu, random: null });
  const optimizer = new AdamW(model.parameters(), { learningRate: 1 });
  expect(
    () => new Training({ model, optimizer, steps: 1, loss: () => model.weight, cacheFrozenPrefix: { bytes: 1 } }),
  ).toThrow(/the model has no blocks/);
});

/** Runs with scratch files that `wrap` makes of true ones. */
async function withFile<T>(wrap: (file: ScratchFile) => ScratchFile, work: () => Promise<T>): Promise<T> {
  const { scratch } = platform.files;
  const spy = vi.spyOn(platform.files, 'scratch').mockImplementation(async (folder) => wrap(await scratch(folder)));
  try {
    return await work();
  } finally {
    spy.mockRestore();
  }
}
