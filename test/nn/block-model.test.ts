/** Forward passes that begin at a block, and what a sample's hidden states depend on. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addLoRA,
  type BlockModel,
  Decoder,
  type DecoderConfig,
  type Device,
  noGrad,
  Random,
  step,
  Transformer,
  type TransformerConfig,
  tensor,
} from '../../src/index.ts';
import { onEachDevice } from '../devices.ts';
import { runs } from '../shapes.ts';

const vocabulary = 13;
const decoder: DecoderConfig = {
  ...{ vocabulary, width: 24, blocks: 2, heads: 6, keyHeads: 3, headSize: 4, hidden: 36, contextLength: 96 },
  ...{ positions: { base: 100, size: 4, scaling: null }, normalization: 'rms', epsilon: 1e-5, headNorms: true },
  ...{ biases: { queryKeyValue: true, output: false, feedForward: false }, feedForward: 'swiglu' },
  ...{ windows: [null, 3], tiedHead: true },
};
const transformer: TransformerConfig = {
  vocabulary,
  width: 16,
  heads: 2,
  hidden: 20,
  blocks: 2,
  head: 'language-model',
};

const models: Readonly<Record<string, (device: Device, random: Random) => BlockModel>> = {
  'a decoder': (device, random) => new Decoder(decoder, { device, random }),
  'a decoder with learned positions and odd extents': (device, random) =>
    new Decoder(
      {
        ...{ ...decoder, positions: 'learned', normalization: 'layer', feedForward: 'gelu', width: 15, headSize: 5 },
        ...{ keyHeads: 6, hidden: 37, windows: [null, null], headNorms: false },
        biases: { queryKeyValue: true, output: true, feedForward: true },
      },
      { device, random },
    ),
  'a transformer': (device, random) => new Transformer(transformer, { device, random }),
  'a transformer with adapters': (device, random) => {
    const model = new Transformer({ ...transformer, feedForward: 'relu' }, { device, random });
    addLoRA(model, { rank: 1, random });
    return model;
  },
  'a transformer that sees both ways': (device, random) =>
    new Transformer({ ...transformer, causal: false, normalization: 'layer', hidden: 22 }, { device, random }),
};

/** What leaves block `to` for rows of tokens, each of the length it has, padded to `time`. */
async function hiddenOf(model: BlockModel, device: Device, rows: readonly (readonly number[])[], time: number, to = 2) {
  const padded = rows.flatMap((row) => [...row, ...new Array<number>(time - row.length).fill(0)]);
  const values = await step(() =>
    noGrad(() => {
      const tokens = tensor(Int32Array.from(padded), { device, shape: [rows.length, time] });
      const lengths = tensor(
        Int32Array.from(rows, ({ length }) => length),
        { device },
      );
      return model.through(model.embed(tokens), lengths, 0, to);
    }).data(),
  );
  const width = values.length / (rows.length * time);
  return rows.map(({ length }, i) => values.slice(i * time * width, (i * time + length) * width));
}

const row = fc.array(fc.nat({ max: vocabulary - 1 }), { minLength: 1, maxLength: 70 });
const cases = fc.record({
  rows: fc.array(row, { minLength: 1, maxLength: 9 }),
  others: fc.array(row, { maxLength: 6 }),
  padding: fc.nat({ max: 20 }),
});

onEachDevice((device) => {
  describe.each(Object.keys(models))('%s', (name) => {
    const model = models[name](device, new Random(5));

    test('a pass that begins at a block gives what the whole gives', async () => {
      const before = device.work.flops;
      await step(async () => {
        const tokens = tensor(
          Int32Array.from({ length: 20 }, (_, i) => (7 * i) % vocabulary),
          { device, shape: [2, 10] },
        );
        const whole = noGrad(() => model.call(tokens));
        const ofWhole = device.work.flops - before;
        const hidden = model.through(model.embed(tokens), null, 0, 1);
        model.prefix = { enter: () => ({ block: 1, hidden }), forget() {} };
        const beforeRest = device.work.flops;
        const rest = noGrad(() => model.call(tokens));
        expect(await rest.data()).toEqual(await whole.data());
        expect(device.work.flops - beforeRest).toBeLessThan(ofWhole);
      });
      model.prefix = null;
    });

    test('the bits of a row do not depend on the rows beside it, nor on padding', async () => {
      await fc.assert(
        fc.asyncProperty(cases, async ({ rows, others, padding }) => {
          const longest = (all: readonly (readonly number[])[]) => Math.max(...all.map(({ length }) => length));
          const alone = await hiddenOf(model, device, rows, longest(rows));
          const together = [...others, ...rows];
          const among = await hiddenOf(model, device, together, Math.min(90, longest(together) + padding));
          expect(among.slice(others.length)).toEqual(alone);
        }),
        runs(device.kind === 'cpu' ? 20 : 6),
      );
    });
  });
});
