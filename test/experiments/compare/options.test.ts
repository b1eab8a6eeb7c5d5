import { describe, expect, test } from 'vitest';
import { helpText, parseOptions } from '../../../experiments/compare/options.ts';
import { armNames } from '../../../experiments/compare/results.ts';
import { taskNames } from '../../../experiments/compare/tasks.ts';
import { OptionError } from '../../../experiments/fragments/options.ts';

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

describe('a line that cannot be understood says what came and what is allowed', () => {
  test.each([
    [['--tasks', 'mnist'], "--tasks holds 'mnist' (allowed: file-kind, next-byte"],
    [['--arms', 'grades'], "--arms holds 'grades' (allowed: full, full+stopping"],
    [['--seeds', '1,x'], "--seeds must hold whole numbers from 0 to 4294967295, got 'x'"],
    [['--lengths', '3'], "--lengths holds '3' (allowed: 1, 0.5, 2)"],
    [['--device', 'gpu'], "--device holds 'gpu' (allowed: auto, webgpu, cpu)"],
    [['--shard', '0/2'], "--shard must hold whole numbers from 1 to 2, got '0'"],
    [['--shard', '3/2'], "--shard must hold whole numbers from 1 to 2, got '3'"],
    [['--shard', '2'], "--shard must read i/n, such as 1/4, got '2'"],
    [['--workers', '0'], "--workers must hold whole numbers from 1 to 256, got '0'"],
    [['--until', 'end'], "--until must be plan, got 'end'"],
    [['--out', ' '], '--out needs a value, got an empty one'],
    [['--steps', '50'], 'it needs --quick'],
    [['--quick', '--steps', '5'], "--steps must hold whole numbers from 20 to 100000, got '5'"],
    [['--merge', 'a', '--shard', '1/2'], '--merge and --shard contradict each other'],
    [['--merge', 'a', '--resume'], '--merge and --resume contradict each other'],
    [['--quick', '--until', 'plan'], '--quick and --until plan contradict each other'],
    [['--what'], "Unknown option '--what'"],
  ])('%j', (argv, message) => {
    expect(() => parseOptions(argv)).toThrow(OptionError);
    expect(() => parseOptions(argv)).toThrow(message);
  });
});

test('the help names every option, task and arm', () => {
  const options = ['tasks', 'arms', 'seeds', 'lengths', 'quick', 'steps', 'resume', 'shard', 'until', 'merge'];
  for (const name of [...options, 'device', 'workers', 'out', 'json', 'help']) expect(helpText).toContain(`--${name}`);
  for (const name of [...taskNames, ...armNames]) expect(helpText).toContain(name);
});
