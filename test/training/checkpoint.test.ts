import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { FileFormatError, readCheckpoint, type Saved, writeCheckpoint, writeSafetensors } from '../../src/index.ts';
import { temporaryFolder } from '../experiments/temporary-folder.ts';

const { saved } = fc.letrec<{ saved: Saved }>((tie) => ({
  saved: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom(null, true, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0),
    fc.double(),
    fc.string(),
    fc.float32Array({ maxLength: 5 }),
    fc.float64Array({ maxLength: 5 }),
    fc.int32Array({ maxLength: 5 }),
    fc.array(tie('saved'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('$array', '$$', '$number', 'a/b')), tie('saved'), {
      maxKeys: 4,
      noNullPrototype: true,
    }),
  ),
}));

test('whatever is saved is read back as it was', async () => {
  const file = join(temporaryFolder(), 'checkpoint.safetensors');
  await fc.assert(
    fc.asyncProperty(saved, async (value) => {
      await writeCheckpoint(file, value);
      expect(await readCheckpoint(file)).toEqual(value);
    }),
    { numRuns: 150 },
  );
});

test('a file that cannot be written leaves the old one, and nothing beside it', async () => {
  const folder = temporaryFolder();
  const file = join(folder, 'checkpoint.safetensors');
  await writeCheckpoint(file, { step: 1 });
  const before = readFileSync(file);
  await expect(writeCheckpoint(join(folder, 'missing', 'file'), { step: 2 })).rejects.toThrow(/ENOENT/);
  // A folder in the place of the file: the rename fails, after everything was written.
  await expect(writeCheckpoint(folder, { step: 2 })).rejects.toThrow();
  expect(readFileSync(file)).toEqual(before);
  expect(readdirSync(folder)).toEqual(['checkpoint.safetensors']);
});

test('a file that is no checkpoint, or cut short, says so', async () => {
  const file = join(temporaryFolder(), 'checkpoint.safetensors');
  writeFileSync(file, writeSafetensors({}, { made: 'elsewhere' }));
  await expect(readCheckpoint(file)).rejects.toThrow(FileFormatError);
  await expect(readCheckpoint(file)).rejects.toThrow(/the format is 'none'/);
  await writeCheckpoint(file, { weights: Float32Array.of(1, 2, 3) });
  const whole = readFileSync(file);
  for (const length of [0, 7, 20, whole.length - 1]) {
    writeFileSync(file, whole.subarray(0, length));
    await expect(readCheckpoint(file)).rejects.toThrow(FileFormatError);
  }
});
