import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  device,
  flag,
  helpText,
  listOf,
  OptionError,
  oneOf,
  option,
  outputFile,
  Refusal,
  readOptions,
  text,
  wholeNumber,
} from '../../command/options.ts';
import { temporaryFolder } from '../temporary-folder.ts';

afterEach(() => vi.restoreAllMocks());

const share = option(
  {
    placeholder: 'SHARE',
    allowed: 'a share from 0 to 1',
    parse(given) {
      const number = Number(given);
      if (number >= 0 && number <= 1) return number;
      throw new Refusal(given);
    },
  },
  { default: 0.5, help: 'of the whole' },
);

const command = {
  command: 'npm run plant',
  about: 'Plants trees.',
  options: {
    trees: wholeNumber({ from: 1, to: 1000, default: 12, help: 'how many' }),
    depths: listOf(wholeNumber({ from: 0, to: 9 }), { default: [1, 2], help: 'of the holes' }),
    kinds: listOf(oneOf(['oak', 'elm'], {}), { help: 'which', defaultText: 'all' }),
    share,
    device: device(),
    plot: text({ placeholder: 'DIR', help: 'where' }),
    json: outputFile({ help: 'also write the results to this file' }),
    quick: flag({ help: 'few trees' }),
  },
} as const;

const read = (...argv: string[]) => readOptions({ ...command, argv });

const defaults = {
  ...{ trees: 12, depths: [1, 2], kinds: null, share: 0.5, device: 'auto', plot: null, json: null, quick: false },
};

test('without options the defaults hold', () => {
  expect(read()).toEqual(defaults);
});

test('the types of the result come from the declaration', () => {
  const options = read('--trees', '3');
  if (!options) throw new Error('no help was asked for');
  const typed: { trees: number; depths: readonly number[]; kinds: readonly ('oak' | 'elm')[] | null; quick: boolean } =
    options;
  // @ts-expect-error null where it is not given
  const plot: string = options.plot;
  expect([typed.trees, plot]).toEqual([3, null]);
});

test('every option is read, with a space or an equals sign, and the last of two counts', () => {
  const json = join(temporaryFolder(), 'trees.json');
  expect(
    read(
      '--trees=3',
      '--depths',
      '4,5, 4',
      '--kinds',
      'elm',
      '--share=0.25',
      '--device',
      'cpu',
      '--quick',
      '--plot',
      'a',
    ),
  ).toEqual({
    ...defaults,
    trees: 3,
    depths: [4, 5],
    kinds: ['elm'],
    share: 0.25,
    device: 'cpu',
    quick: true,
    plot: 'a',
  });
  expect(read('--trees', '1', '--trees', '2', '--json', json)).toEqual({ ...defaults, trees: 2, json });
});

describe('a line that cannot be understood says the option, what came, what is allowed, and where all options stand', () => {
  test.each([
    [['--tress', '5'], "unknown option '--tress': allowed are --trees, --depths"],
    [['-x'], "unknown option '-x'"],
    [['files'], "unexpected argument 'files': only options are allowed"],
    [['--trees', '0'], "--trees must be a whole number from 1 to 1000, got '0'"],
    [['--trees', '-3'], "got '-3'"],
    [['--trees', '2.5'], "got '2.5'"],
    [['--trees', '1e2'], "got '1e2'"],
    [['--trees', '0x10'], "got '0x10'"],
    [['--trees', 'many'], "got 'many'"],
    [['--trees', '1001'], "got '1001'"],
    [['--depths', '1,,2'], "--depths must be a whole number from 0 to 9 (or several, with commas between), got ''"],
    [['--kinds', 'oak,ash'], "--kinds must be one of oak, elm (or several, with commas between), got 'ash'"],
    [['--share', '2'], "--share must be a share from 0 to 1, got '2'"],
    [['--device', 'gpu'], "--device must be one of auto, webgpu, cpu, got 'gpu'"],
    [['--plot'], '--plot needs a value, got nothing after it'],
    [['--plot', '--trees', '5'], "--plot needs a value, got the option '--trees' after it"],
    [['--plot='], '--plot needs a value, got an empty one'],
    [['--plot', ' '], '--plot needs a value, got an empty one'],
    [['--quick=yes'], "--quick takes no value, got 'yes'"],
    [['--toString', '1'], "unknown option '--toString'"],
  ])('%j', (argv, message) => {
    expect(() => read(...argv)).toThrow(OptionError);
    expect(() => read(...argv)).toThrow(message);
    expect(() => read(...argv)).toThrow('npm run plant -- --help');
  });
});

test('a file for results that cannot be written is told at once, and one that can is left as it is', () => {
  const folder = temporaryFolder();
  const missing = join(folder, 'missing/trees.json');
  expect(() => read('--json', missing)).toThrow(
    `--json must be a file that can be written, in a folder that exists, got '${missing}' (ENOENT)`,
  );
  expect(() => read('--json', folder)).toThrow('(EISDIR)');
  read('--json', join(folder, 'new.json'));
  expect(existsSync(join(folder, 'new.json'))).toBe(false);
  writeFileSync(join(folder, 'old.json'), 'results');
  read('--json', join(folder, 'old.json'));
  expect(readFileSync(join(folder, 'old.json'), 'utf8')).toBe('results');
});

test('the help is printed, whatever else the line holds, and names every option with its default', () => {
  const printed = vi.spyOn(console, 'log').mockImplementation(() => {});
  expect(read('--help')).toBeNull();
  expect(read('--trees', 'many', '-h')).toBeNull();
  expect(printed).toHaveBeenCalledTimes(2);
  const help = String(printed.mock.calls[0][0]);
  expect(help).toBe(helpText(command));
  for (const name of Object.keys(command.options)) expect(help).toMatch(new RegExp(`^ {2}--${name} `, 'm'));
  expect(help).toContain('how many   (default: 12)');
  expect(help).toContain('of the holes   (default: 1,2)');
  expect(help).toContain('which   (default: all)');
  expect(help).toMatch(/--plot DIR +where$/m);
  for (const line of help.split('\n')) expect(line.length).toBeLessThanOrEqual(118);
});

test('a long help goes on under its own column', () => {
  const help = 'with words that go on and on '.repeat(8).trim();
  const lines = helpText({ command: 'go', about: 'Goes.', options: { far: flag({ help }) } }).split('\n');
  const first = lines.findIndex((line) => line.startsWith('  --far'));
  expect(lines[first + 1].search(/\S/)).toBe(lines[first].indexOf('with'));
  expect([lines[first].slice(10), lines[first + 1].trim(), lines[first + 2].trim()].join(' ')).toBe(help);
});

describe('a word before the options', () => {
  const positional = { name: 'season', values: { spring: 'the time to plant', autumn: 'the time to reap' } } as const;
  const readSeason = (...argv: string[]) => readOptions({ ...command, positional, argv });

  test('is read and typed', () => {
    const season: 'spring' | 'autumn' | undefined = readSeason('autumn', '--quick')?.season;
    expect(season).toBe('autumn');
    expect(helpText({ ...command, positional })).toMatch(
      /npm run plant -- <season> \[options\]\n\n {2}spring +the time/,
    );
  });

  test.each([
    [[], 'a season must be named: one of spring, autumn'],
    [['winter'], "season must be one of spring, autumn, got 'winter'"],
    [['spring', 'autumn'], "unexpected argument 'autumn': one season at a time"],
  ])('%j', (argv, message) => {
    expect(() => readSeason(...argv)).toThrow(OptionError);
    expect(() => readSeason(...argv)).toThrow(message);
  });
});
