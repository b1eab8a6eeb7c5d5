import { describe, expect, test } from 'vitest';
import {
  DEFAULT_DEVICE,
  DEFAULT_SEED,
  DEFAULT_STEPS,
  helpText,
  OptionError,
  parseOptions,
} from '../../experiments/fragments/options.ts';

const DEFAULTS = { steps: DEFAULT_STEPS, seed: DEFAULT_SEED, device: DEFAULT_DEVICE, help: false };

test('without options the defaults hold', () => {
  expect(parseOptions([])).toEqual(DEFAULTS);
});

test('every option is read, with a space or an equals sign', () => {
  expect(
    parseOptions(['--data', 'files', '--steps=20', '--seed', '0', '--device', 'cpu', '--out=run', '--json', 'a.json']),
  ).toEqual({ data: 'files', steps: 20, seed: 0, device: 'cpu', out: 'run', json: 'a.json', help: false });
  expect(parseOptions(['--help'])).toEqual({ ...DEFAULTS, help: true });
  expect(parseOptions(['--steps', '1', '--steps', '2']).steps).toBe(2);
});

describe('a line that cannot be understood says the option, what came and what is allowed', () => {
  test.each([
    [['--stpes', '5'], "unknown option '--stpes': allowed are --data, --steps"],
    [['-x'], "unknown option '-x'"],
    [['files'], "unexpected argument 'files'"],
    [['--steps', '0'], "--steps must be a whole number from 1 to 10000000, got '0'"],
    [['--steps', '-3'], "--steps must be a whole number from 1 to 10000000, got '-3'"],
    [['--steps', '2.5'], "got '2.5'"],
    [['--steps', '1e3'], "got '1e3'"],
    [['--steps', 'many'], "got 'many'"],
    [['--steps', '10000001'], "got '10000001'"],
    [['--seed', '-1'], "--seed must be a whole number from 0 to 4294967295, got '-1'"],
    [['--seed', '0x10'], "got '0x10'"],
    [['--device', 'gpu'], "--device must be one of auto, webgpu, cpu, got 'gpu'"],
    [['--data'], '--data needs a value, got nothing after it'],
    [['--data', '--steps', '5'], "--data needs a value, got the option '--steps' after it"],
    [['--out='], '--out needs a value, got an empty one'],
    [['--json', ' '], '--json needs a value, got an empty one'],
    [['--help=yes'], "--help takes no value, got 'yes'"],
  ])('%j', (argv, message) => {
    expect(() => parseOptions(argv)).toThrow(OptionError);
    expect(() => parseOptions(argv)).toThrow(message);
    expect(() => parseOptions(argv)).toThrow('npm start -- --help');
  });
});

test('the help names every option with its default', () => {
  for (const option of ['data', 'steps', 'seed', 'device', 'out', 'json', 'help'])
    expect(helpText).toContain(`--${option}`);
  expect(helpText).toContain(`(default: ${DEFAULT_STEPS})`);
});
