import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  Checkpoints,
  FileFormatError,
  FileWriteError,
  readCheckpoint,
  type Saved,
  writeCheckpoint,
  writeSafetensors,
} from '../../src/index.ts';
import { runs } from '../shapes.ts';
import { temporaryFolder } from '../temporary-folder.ts';

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
    fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('$array', '$$', '$number', 'a/b', '__proto__')), tie('saved'), {
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
    runs(150),
  );
});

test('a file that cannot be written leaves the old one, and nothing beside it', async () => {
  const folder = temporaryFolder();
  const file = join(folder, 'checkpoint.safetensors');
  await writeCheckpoint(file, { step: 1 });
  const before = readFileSync(file);
  const failed = writeCheckpoint(join(folder, 'missing', 'file'), { step: 2 });
  await expect(failed).rejects.toThrow(FileWriteError);
  await expect(failed).rejects.toThrow(/missing\/file cannot be written \(ENOENT/);
  // A folder in the place of the file: the rename fails, after everything was written.
  await expect(writeCheckpoint(folder, { step: 2 })).rejects.toThrow(FileWriteError);
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

test('the last ones are kept, and one that is damaged is passed over', async () => {
  const folder = temporaryFolder();
  const checkpoints = new Checkpoints(folder, { name: 'arm', keep: 2 });
  expect(await checkpoints.newest()).toBeNull();
  writeFileSync(join(folder, 'arm.safetensors'), 'of somebody else');
  const names = () => readdirSync(folder).filter((name) => name !== 'arm.safetensors');
  for (const step of [0, 50, 100]) await checkpoints.write(step, { step });
  expect(names()).toEqual(['arm-000000050.safetensors', 'arm-000000100.safetensors']);
  expect(await checkpoints.newest()).toEqual({ step: 100 });
  await checkpoints.write(100, { step: 100, again: true });
  expect(names().length).toBe(2);

  const warned = once(process, 'warning');
  writeFileSync(join(folder, 'arm-000000100.safetensors'), 'torn');
  expect(await checkpoints.newest()).toEqual({ step: 50 });
  expect(String(await warned)).toContain('arm-000000100.safetensors is passed over');
  // What it had reached after the checkpoint that it goes on from is made anew.
  await checkpoints.write(75, { step: 75 });
  expect(names()).toEqual(['arm-000000050.safetensors', 'arm-000000075.safetensors']);
  for (const name of names()) writeFileSync(join(folder, name), 'torn');
  await expect(checkpoints.newest()).rejects.toThrow(FileFormatError);
  expect(() => new Checkpoints(folder, { keep: 0 })).toThrow('keep 0 is out of range');
});

test.each(['arm (2)', 'v1.5+', '[best]', 'a|b', '$1', 'checkpoint-x'])(
  'a name is taken letter by letter: %s',
  async (name) => {
    const folder = temporaryFolder();
    const [own, other] = [
      new Checkpoints(folder, { name, keep: 2 }),
      new Checkpoints(folder, { name: 'other', keep: 1 }),
    ];
    await other.write(9, { at: 9 });
    for (const at of [1, 2, 3]) await own.write(at, { at });
    expect(await own.newest()).toEqual({ at: 3 });
    expect(await other.newest()).toEqual({ at: 9 });
    expect(readdirSync(folder).length).toBe(3);
  },
);
