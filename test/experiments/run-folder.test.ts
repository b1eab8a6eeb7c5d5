import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RunFolder, RunFolderError } from '../../experiments/fragments/run-folder.ts';
import { temporaryFolder } from './temporary-folder.ts';

const FREEZE = { parameter: 'blocks.0.attention.query', step: 12, value: 0.4, threshold: 0.45 };

test('everything is on disk as soon as it was said, as a crash would find it', () => {
  const path = join(temporaryFolder(), 'runs/first');
  const folder = new RunFolder(path, { seed: 1 });
  const read = (name: string) => readFileSync(join(path, name), 'utf8');
  expect(JSON.parse(read('config.json'))).toEqual({ seed: 1 });
  expect(JSON.parse(read('freezes.json'))).toEqual([]);

  folder.log({ step: 1, loss: 1.5 });
  folder.log({ step: 2, loss: 1.4 });
  expect(read('log.jsonl')).toBe('{"step":1,"loss":1.5}\n{"step":2,"loss":1.4}\n');

  folder.freeze('grades', FREEZE);
  expect(JSON.parse(read('freezes.json'))).toEqual([{ arm: 'grades', ...FREEZE }]);
  expect(read('log.jsonl').trimEnd().split('\n').at(-1)).toBe(
    JSON.stringify({ event: 'freeze', arm: 'grades', ...FREEZE }),
  );

  folder.summary({ accuracy: 0.86 });
  expect(folder.write('signals.svg', '<svg/>')).toBe(join(path, 'signals.svg'));
  folder.close();
  folder.close();
  expect(readdirSync(path).sort()).toEqual(['config.json', 'freezes.json', 'log.jsonl', 'signals.svg', 'summary.json']);
});

test('a folder that holds a run is not written over', () => {
  const path = temporaryFolder();
  new RunFolder(path, { seed: 1 }).close();
  expect(() => new RunFolder(path, { seed: 2 })).toThrow(RunFolderError);
  expect(() => new RunFolder(path, { seed: 2 })).toThrow(`${path} holds a run already`);
  expect(JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'))).toEqual({ seed: 1 });
});

test('a folder that cannot be made is named', () => {
  const file = join(temporaryFolder(), 'file');
  writeFileSync(file, 'text');
  expect(() => new RunFolder(join(file, 'run'), {})).toThrow(RunFolderError);
  expect(() => new RunFolder(join(file, 'run'), {})).toThrow(/cannot write .*file\/run \(ENOTDIR\)/);
  expect(() => new RunFolder(file, {})).toThrow(/cannot write .*file \(EEXIST\)/);
});
