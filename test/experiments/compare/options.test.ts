import { describe, expect, test, vi } from 'vitest';
import { OptionError } from '../../../command/options.ts';
import { armNames } from '../../../experiments/compare/arms.ts';
import { parseOptions } from '../../../experiments/compare/options.ts';
import { taskNames } from '../../../experiments/compare/tasks.ts';

test('without options everything runs', () => {
  const all = { tasks: taskNames, arms: armNames, seeds: [1, 2, 3, 4, 5], lengths: [1, 0.5, 2], steps: null };
  expect(parseOptions([])).toMatchObject({ ...all, quick: false, shard: null, merge: [], device: 'auto' });
});

test('a smoke run is two tasks, six arms and one seed, and what is given goes before that', () => {
  expect(parseOptions(['--quick'])).toMatchObject({
    tasks: ['file-kind', 'contains'],
    arms: ['full', 'full+stopping', 'full+grades', 'lora', 'lora+stopping', 'lora+grades'],
    seeds: [1],
    lengths: [1],
    steps: 300,
  });
  expect(parseOptions(['--quick', '--tasks', 'parity', '--seeds', '7,8', '--steps', '40'])).toMatchObject({
    tasks: ['parity'],
    seeds: [7, 8],
    steps: 40,
  });
});

test('lists and parts are read', () => {
  expect(parseOptions(['--arms', 'full, null', '--lengths', '2,1', '--shard', '3/4', '--workers=6'])).toMatchObject({
    arms: ['full', 'null'],
    lengths: [1, 2],
    shard: { index: 3, count: 4 },
    workers: 6,
  });
  expect(parseOptions(['--merge', 'a,b', '--json', 'x.json'])).toMatchObject({ merge: ['a', 'b'], json: 'x.json' });
});

test("a user's rule comes with its plain stop, and with its other controls where they are asked for", () => {
  const mine = ['my-rule', 'my-rule-plain-stop'];
  expect(parseOptions(['--policy', 'rules/my-rule.ts', '--arms', 'full'])?.arms).toEqual(['full', ...mine]);
  expect(parseOptions(['--policy', 'rules/my-rule.ts', '--quick', '--controls'])?.arms).toEqual(
    expect.arrayContaining(['lora+grades', ...mine, 'my-rule-reversed', 'my-rule-plateau']),
  );
});

describe('a line that cannot be understood says what came and what is allowed', () => {
  test.each([
    [['--tasks', 'mnist'], '--tasks must be one of file-kind, next-byte'],
    [['--tasks', 'mnist'], "got 'mnist'\nAll options: npm run compare -- --help"],
    [['--arms', 'grades'], '--arms must be one of full, full+stopping'],
    [['--seeds', '1,x'], '--seeds must be a whole number from 0 to 4294967295'],
    [['--lengths', '3'], '--lengths must be one of 1, 0.5, 2'],
    [['--device', 'gpu'], '--device must be one of auto, webgpu, cpu'],
    [['--shard', '0/2'], "--shard must be a part of n, such as 1/4, got '0/2'"],
    [['--shard', '3/2'], "got '3/2'"],
    [['--shard', '2'], "got '2'"],
    [['--workers', '0'], "--workers must be a whole number from 1 to 256, got '0'"],
    [['--until', 'end'], "--until must be one of plan, got 'end'"],
    [['--out', ' '], '--out needs a value, got an empty one'],
    [['--steps', '50'], 'it needs --quick'],
    [['--quick', '--steps', '5'], "--steps must be a whole number from 20 to 100000, got '5'"],
    [['--merge', 'a', '--shard', '1/2'], '--merge and --shard contradict each other'],
    [['--merge', 'a', '--resume'], '--merge and --resume contradict each other'],
    [['--quick', '--until', 'plan'], '--quick and --until plan contradict each other'],
    [['--controls'], '--controls needs --policy FILE.ts'],
    [['--json', '.'], "--json must be a file that can be written, in a folder that exists, got '.'"],
    [['--json', 'no/such/folder.json'], "got 'no/such/folder.json'"],
    [['--what'], "unknown option '--what'"],
  ])('%j', (argv, message) => {
    expect(() => parseOptions(argv)).toThrow(OptionError);
    expect(() => parseOptions(argv)).toThrow(message);
  });
});

test('the help names every task and arm', () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  expect(parseOptions(['--help'])).toBeNull();
  const printed = log.mock.calls.flat().join('\n').replaceAll(/\s+/g, ' ');
  log.mockRestore();
  for (const name of [...taskNames, ...armNames]) expect(printed).toContain(name);
});
