import { expect, test } from 'vitest';
import { temporaryFolder } from '../temporary-folder.ts';
import { judgeFiles } from './hostile-files.ts';

test('files that lie are refused by a named error, or read as what they say', async () => {
  const { files, read, refused, faults } = await judgeFiles(200, { folder: temporaryFolder(), seed: 1 });
  expect(faults).toEqual([]);
  expect(files).toBe(200);
  expect(Math.min(read, refused)).toBeGreaterThan(20);
});
