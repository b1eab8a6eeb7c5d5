import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DatasetError, folderSource, packageOf, packageSource } from '../../../experiments/data/files.ts';
import { type FragmentDataset, fragmentsOf, loadFragments } from '../../../experiments/data/fragments.ts';
import { randomBelow } from '../../../experiments/data/random.ts';
import { type Split, splitByGroup } from '../../../experiments/data/split.ts';
import { readTexts, splitSeed, windowAt } from '../../../experiments/data/texts.ts';
import { findVerbatim } from '../../../experiments/data/verbatim.ts';
import { temporaryFolder, writeFiles } from '../../temporary-folder.ts';

const options = { windowBytes: 16, testFragments: 60 };

describe('training batches', () => {
  test('depend on seed and step only, not on what was asked for before', () => {
    const directory = threeClasses();
    const first = loadFragments({ directory, ...options });
    const second = loadFragments({ directory, ...options });
    const forwards = [0, 1, 2, 3].map((step) => first.trainingBatch(7, step, 8));
    const backwards = [3, 2, 1, 0].map((step) => second.trainingBatch(7, step, 8)).reverse();
    expect(backwards).toEqual(forwards);
    expect(first.trainingBatch(8, 0, 8)).not.toEqual(forwards[0]);
    expect(first.trainingBatch(7, 1, 8)).not.toEqual(forwards[0]);
  });

  test('come from training files only, with the label of their folder', () => {
    const directory = threeClasses();
    const dataset = loadFragments({ directory, ...options });
    const { training } = splitOf(directory);
    const { tokens, labels } = dataset.trainingBatch(1, 1, 64);
    for (const [index, fragment] of windowsOf(tokens, 16).entries()) {
      const files = training.filter(({ className }) => className === dataset.classes[labels[index]!]);
      expect(files.some(({ path }) => readFileSync(path).includes(fragment))).toBe(true);
    }
  });

  test('draw every class about equally often, whatever its size', () => {
    const directory = threeClasses({ cobol: 120 });
    const dataset = loadFragments({ directory, ...options });
    const counts = [0, 0, 0];
    for (const label of dataset.trainingBatch(1, 0, 3000).labels) counts[label]!++;
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });

  test('avoid windows of one repeated byte', () => {
    const directory = threeClasses();
    for (let file = 0; file < 24; file++) {
      const bytes = new Uint8Array(2000);
      bytes.set(Buffer.from(randomText(`padded ${file}`, 1000, 'xyz')), 500);
      writeFiles(directory, { [`padded/${file}.bin`]: bytes });
    }
    const dataset = loadFragments({ directory, ...options });
    const { tokens } = dataset.trainingBatch(1, 0, 2000);
    const constant = windowsOf(tokens, 16).filter((fragment) => new Set(fragment).size === 1);
    expect(constant).toHaveLength(0);
  });
});

describe('test fragments', () => {
  test('are the same for every load, distinct and balanced', () => {
    const directory = threeClasses();
    const { test: fragments, classes } = loadFragments({ directory, ...options, testFragments: 100 });
    expect(fragments.count).toBe(102);
    expect(fragments.tokens).toHaveLength(102 * 16);
    expect(new Set(keysOf(fragments.tokens, 16)).size).toBe(102);
    expect(classes).toEqual(['ada', 'basic', 'cobol']);
    for (const label of [0, 1, 2]) expect(fragments.labels.filter((one) => one === label)).toHaveLength(34);
    const again = loadFragments({ directory, ...options, testFragments: 100 });
    expect(again.test).toEqual(fragments);
  });

  test('never stand in a training file, copied files and copied passages included', () => {
    const directory = threeClasses();
    // Copies of whole files, in the class and in another one, and a passage that every file of a class shares.
    for (let index = 0; index < 4; index++) {
      const original = readFileSync(join(directory, `ada/${index}.txt`), 'utf8');
      writeFiles(directory, { [`ada/copy-${index}.txt`]: original, [`basic/copy-${index}.txt`]: original });
    }
    for (let index = 0; index < 24; index++) {
      const shared = 'a passage of forty bytes, in every file ';
      writeFiles(directory, { [`cobol/${index}.txt`]: randomText(`cobol ${index}`, 900, 'stuv') + shared });
    }
    const dataset = loadFragments({ directory, ...options });
    const { training, heldOut } = splitOf(directory);
    const baseName = (name: string) => name.split('/')[1]?.replace('copy-', '');
    const isCopied = ({ name }: { name: string }) => training.some((file) => baseName(file.name) === baseName(name));
    expect(heldOut.filter(({ name }) => name.includes('copy-')).some(isCopied)).toBe(true);
    const trainingBytes = Buffer.concat(training.map(({ path }) => readFileSync(path)));
    for (const fragment of windowsOf(dataset.test.tokens, 16)) expect(trainingBytes.includes(fragment)).toBe(false);
    expect(dataset.texts.some(({ repeats }) => repeats > 0)).toBe(true);
  });
});

describe('the split', () => {
  test('puts no package in both parts and does not depend on the order of the files', () => {
    const { files } = packageSource(packages());
    const split = splitByGroup(files, 3);
    expect(groupsOf(split.training).filter((group) => groupsOf(split.heldOut).includes(group))).toEqual([]);
    expect(groupsOf(split.heldOut).length).toBeGreaterThan(0);
    const reversed = splitByGroup([...files].reverse(), 3);
    expect(namesOf(reversed.heldOut)).toEqual(namesOf(split.heldOut));
    expect(namesOf(splitByGroup(files, 4).heldOut)).not.toEqual(namesOf(split.heldOut));
  });

  test('takes a nested copy of a package for the package', () => {
    expect(packageOf('plain/lib/index.js')).toBe('plain');
    expect(packageOf('@scope/name/index.js')).toBe('@scope/name');
    expect(packageOf('plain/node_modules/@scope/name/index.js')).toBe('@scope/name');
  });

  test('sorts the files of packages by kind and leaves out, by name, a class with too few', () => {
    const folder = packages();
    writeFiles(folder, {
      'package-0/bundle.js': `const a=${'1+'.repeat(2000)}1`,
      'package-0/.hidden.js': 'hidden',
      'package-0/program': Buffer.concat([Buffer.from('7f454c46', 'hex'), Buffer.alloc(70_000, 'code')]),
    });
    const source = packageSource(folder);
    const classOf = (name: string) => source.files.find((file) => file.name === name)?.className;
    expect(classOf('package-1/index.js')).toBe('javascript');
    expect(classOf('package-1/index.d.ts')).toBe('declarations');
    expect(classOf('package-0/program')).toBe('native code');
    expect(classOf('package-0/bundle.js')).toBeUndefined();
    expect(classOf('package-0/.hidden.js')).toBeUndefined();
    const dataset = fragmentsOf(source, options);
    expect(dataset.classes).toEqual(['declarations', 'javascript', 'json']);
    expect(dataset.leftOut.map(({ name }) => name)).toEqual(['markdown', 'source maps', 'native code']);
    for (const { heldOut } of dataset.texts) expect(heldOut.length).toBeGreaterThanOrEqual(8);
    expect(dataset.describe()).toContain('left out: markdown (0 files of at least 16 bytes; at least 12 are needed)');
  });

  test('leaves out, by name, a class whose files repeat each other', () => {
    const directory = threeClasses();
    for (let file = 0; file < 24; file++)
      writeFiles(directory, { [`same/${file}.txt`]: 'the same words in each file' });
    const dataset = loadFragments({ directory, ...options });
    expect(dataset.classes).toEqual(['ada', 'basic', 'cobol']);
    expect(dataset.leftOut).toEqual([{ name: 'same', reason: expect.stringContaining('that repeat training files') }]);
  });
});

describe('unusable data is an error that names it', () => {
  test('missing folder', () => expectError(join(temporaryFolder(), 'missing'), /cannot read .*missing \(ENOENT\)/));

  test('a file in place of a folder', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), 'text');
    expectError(join(folder, 'file'), /cannot read .*file \(ENOTDIR\)/);
  });

  test('no class, and one class only', () => {
    const folder = temporaryFolder();
    writeFiles(folder, { 'loose.txt': 'text', '.hidden/file': 'text' });
    expectError(folder, /at least two classes \(sub-folders with files\) are needed, found none/);
    writeFiles(folder, { 'ada/1.txt': 'text' });
    expectError(folder, /found only 'ada'/);
  });

  test('a class with too few files', () => {
    const directory = threeClasses();
    writeFiles(directory, { 'few/1.txt': 'a file long enough to be used', 'few/2.txt': 'short' });
    expectError(directory, /class 'few' has 1 file of at least 16 bytes; at least 12 are needed/);
  });

  test('a dangling link', () => {
    const directory = threeClasses();
    symlinkSync(join(directory, 'nowhere'), join(directory, 'ada/dangling.txt'));
    expectError(directory, /cannot read .*dangling\.txt \(ENOENT\)/);
  });

  test('a link to itself', () => {
    const directory = threeClasses();
    symlinkSync(join(directory, 'ada/circle'), join(directory, 'ada/circle'));
    expectError(directory, /cannot read .*circle \(ELOOP\)/);
  });

  test('classes of which fewer than two can be used', () => {
    const directory = temporaryFolder();
    for (let file = 0; file < 24; file++) {
      writeFiles(directory, { [`same/${file}`]: 'the same in each file', [`equal/${file}`]: 'equal in every one' });
    }
    expectError(directory, /at least two classes are needed, 0 can be used[\s\S]*same: [\s\S]*/);
  });
});

test('a link to a parent folder does not go round for ever', () => {
  const directory = threeClasses();
  const before = loadFragments({ directory, ...options }).texts;
  mkdirSync(join(directory, 'ada/deep'));
  symlinkSync(join(directory, 'ada'), join(directory, 'ada/deep/up'));
  expect(loadFragments({ directory, ...options }).texts).toEqual(before);
});

test('a long file is read in parts from all over it, and no window reaches across two of them', () => {
  const folder = temporaryFolder();
  const positions = Buffer.from(Uint32Array.from({ length: 50_000 }, (_, index) => index).buffer);
  writeFiles(folder, { 'a/long.bin': positions, 'b/other.bin': 'other' });
  const [long] = folderSource(folder).files;
  const limits = { fileBytes: 100_000, classBytes: 1, classFiles: 1 };
  const [text] = readTexts([long!], 16, limits);
  expect(text!.loadedBytes).toBe(3 * 32 * 1024);
  expect(text!.positions).toBe(3 * (32 * 1024 - 15));
  for (let position = 0; position < text!.positions; position += 7) {
    expect(positions.includes(Buffer.from(windowAt(text!, position, 16)))).toBe(true);
  }
  expect(windowAt(text!, 0, 16)).toEqual(new Uint8Array(positions.subarray(0, 16)));
  expect(windowAt(text!, text!.positions - 1, 16)).toEqual(new Uint8Array(positions.subarray(-16)));
  expect(() => windowAt(text!, text!.positions, 16)).toThrow(RangeError);
});

test('finding windows verbatim agrees with a plain search', () => {
  const bytes = (constraints: fc.ArrayConstraints) =>
    fc.array(fc.nat({ max: 2 }), constraints).map((all) => Uint8Array.from(all));
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }).chain((length) =>
        fc.record({
          windows: fc.array(bytes({ minLength: length, maxLength: length }), { maxLength: 12 }),
          texts: fc.array(bytes({ maxLength: 40 }), { maxLength: 3 }),
        }),
      ),
      ({ windows, texts }) => {
        const found = findVerbatim(windows, texts);
        const expected = windows.map((window) => texts.some((text) => Buffer.from(text).includes(Buffer.from(window))));
        expect(found).toEqual(expected);
      },
    ),
  );
});

test('the installed packages make a dataset of several classes', () => {
  const dataset: FragmentDataset = loadFragments({ directory: null, windowBytes: 32, testFragments: 2000 });
  expect(dataset.classes).toEqual(expect.arrayContaining(['declarations', 'javascript', 'json']));
  expect(dataset.test.count).toBeGreaterThanOrEqual(2000);
});

function threeClasses({ cobol = 24 } = {}): string {
  const directory = temporaryFolder();
  for (const [name, letters, count] of [
    ['ada', 'abcdefgh', 24],
    ['basic', 'ijklmnop', 24],
    ['cobol', 'stuv', cobol],
  ] as const) {
    for (let file = 0; file < count; file++) {
      writeFiles(directory, { [`${name}/${file}.txt`]: randomText(`${name} ${file}`, 600, letters) });
    }
  }
  return directory;
}

function packages(): string {
  const folder = temporaryFolder();
  for (let index = 0; index < 48; index++) {
    const name = index % 3 === 0 ? `@scope/package-${index}` : `package-${index}`;
    writeFiles(folder, {
      [`${name}/index.js`]: randomText(`js ${index}`, 300, 'function(){};\n'),
      [`${name}/index.d.ts`]: randomText(`ts ${index}`, 300, 'declare: string\n'),
      [`${name}/package.json`]: randomText(`json ${index}`, 300, '{"name": "1"}\n'),
    });
  }
  writeFiles(folder, { 'package-0/index.js': randomText('js', 300, 'function(){};\n') });
  return folder;
}

function randomText(name: string, length: number, letters: string): string {
  const seed = [...name].map((letter) => letter.charCodeAt(0));
  return Array.from({ length }, (_, index) => letters[randomBelow(letters.length, ...seed, index)]).join('');
}

function splitOf(directory: string): Split {
  const files = folderSource(directory).files.filter(({ bytes }) => bytes >= options.windowBytes);
  return splitByGroup(files, splitSeed);
}

function groupsOf(files: readonly { group: string }[]): string[] {
  return [...new Set(files.map(({ group }) => group))];
}

function namesOf(files: readonly { name: string }[]): string[] {
  return files.map(({ name }) => name).sort();
}

function windowsOf(tokens: Int32Array, windowBytes: number): Buffer[] {
  return Array.from({ length: tokens.length / windowBytes }, (_, index) =>
    Buffer.from(tokens.subarray(index * windowBytes, (index + 1) * windowBytes)),
  );
}

function keysOf(tokens: Int32Array, windowBytes: number): string[] {
  return windowsOf(tokens, windowBytes).map((fragment) => fragment.toString('latin1'));
}

function expectError(directory: string, message: RegExp): void {
  expect(() => loadFragments({ directory, ...options })).toThrow(DatasetError);
  expect(() => loadFragments({ directory, ...options })).toThrow(message);
}
