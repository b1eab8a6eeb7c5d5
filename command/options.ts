/**
 * The option parser of every command. A command declares its options once; the types of the result, the defaults, the
 * checks and `--help` come from that declaration.
 */

import { closeSync, existsSync, openSync, rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { deviceKinds } from '../src/index.ts';
import { CommandError } from './error.ts';

/** A command line that cannot be understood. The message names the option, what came, what is allowed, and `--help`. */
export class OptionError extends CommandError {
  override readonly name = 'OptionError';

  /** @param command how the command is called, such as `npm run compare`. */
  constructor(message: string, command: string) {
    super(`${message}\nAll options: ${command} -- --help`);
  }
}

/** Thrown by `Kind.parse`: this text, or this part of it, is not allowed. */
export class Refusal extends Error {
  readonly got: string;
  readonly reason: string;

  constructor(got: string, reason = '') {
    super(`refused '${got}'`);
    this.got = got;
    this.reason = reason;
  }
}

/** What the values of an option are. */
export interface Kind<Value> {
  /** Stands for the value in the help. */
  readonly placeholder: string;
  /** Stands after "must be". */
  readonly allowed: string;
  /** @throws {Refusal} */
  parse(text: string): Value;
}

interface About<Value> {
  readonly help?: string;
  /** Absent: the option is null where it is not given. */
  readonly default?: Value;
  /** What the help says of the default, where the value does not say it. */
  readonly defaultText?: string;
  readonly placeholder?: string;
}

interface Flag {
  readonly isFlag: true;
  readonly help: string;
}

type Option = Flag | (Kind<unknown> & About<unknown>);

type ValueOf<O> = O extends Flag
  ? boolean
  : O extends Kind<infer Value>
    ? O extends { default: unknown }
      ? Value
      : Value | null
    : never;

/** An option of a kind that only one command has. */
export function option<Value, A extends About<Value>>(kind: Kind<Value>, about: A): Kind<Value> & A {
  return { ...kind, ...about };
}

/** True where it is given. It takes no value. */
export function flag({ help }: { help: string }): Flag {
  return { isFlag: true, help };
}

export function text<A extends About<string>>(about: A): Kind<string> & A {
  return option({ placeholder: 'TEXT', allowed: 'a text', parse: (given) => given }, about);
}

export function wholeNumber<A extends About<number> & { from: number; to: number }>(about: A): Kind<number> & A {
  const { from, to } = about;
  const parse = (given: string) => {
    const number = Number(given);
    if (/^\d+$/.test(given) && number >= from && number <= to) return number;
    throw new Refusal(given);
  };
  return option({ placeholder: 'N', allowed: `a whole number from ${from} to ${to}`, parse }, about);
}

export function number<A extends About<number> & { from: number; to: number }>(about: A): Kind<number> & A {
  const { from, to } = about;
  const parse = (given: string) => {
    const value = Number(given);
    if (/^[\d.]+(e-?\d+)?$/i.test(given) && value >= from && value <= to) return value;
    throw new Refusal(given);
  };
  return option({ placeholder: 'X', allowed: `a number from ${from} to ${to}`, parse }, about);
}

export function oneOf<const Name extends string, A extends About<NoInfer<Name>>>(
  names: readonly Name[],
  about: A,
): Kind<Name> & A {
  const parse = (given: string) => {
    const found = names.find((name) => name === given);
    if (found === undefined) throw new Refusal(given);
    return found;
  };
  return option({ placeholder: 'NAME', allowed: `one of ${names.join(', ')}`, parse }, about);
}

/** Values with commas between them. One that is given twice counts once. */
export function listOf<Value, A extends About<readonly Value[]>>(
  element: Kind<Value>,
  about: A,
): Kind<readonly Value[]> & A {
  const kind: Kind<readonly Value[]> = {
    placeholder: `${element.placeholder},${element.placeholder}`,
    allowed: `${element.allowed} (or several, with commas between)`,
    parse: (given: string) => [...new Set(given.split(',').map((part) => element.parse(part.trim())))],
  };
  return option(kind, about);
}

/** `--device`, of the commands that compute. */
export function device() {
  return oneOf(deviceKinds, {
    placeholder: deviceKinds.join('|'),
    default: 'auto',
    defaultText: 'auto: graphics hardware where there is some, else cpu',
    help: 'where tensors live and kernels run',
  });
}

/** A file for results. Whether it can be written is asked before the minutes of a run, not after them. */
export function outputFile<A extends About<string>>(about: A): Kind<string> & A {
  const parse = (given: string) => {
    try {
      const existed = existsSync(given);
      closeSync(openSync(given, 'a'));
      if (!existed) rmSync(given);
      return given;
    } catch (error) {
      throw new Refusal(given, error instanceof Error && 'code' in error ? ` (${error.code})` : '');
    }
  };
  return option({ placeholder: 'FILE', allowed: 'a file that can be written, in a folder that exists', parse }, about);
}

/** A command and all it can be told. */
export interface Command {
  /** How it is called, such as `npm run compare`. */
  readonly command: string;
  /** What it does, in a sentence or two. */
  readonly about: string;
  readonly options: Readonly<Record<string, Option>>;
  /** A word that must stand before the options: one of these, each with what it means. */
  readonly positional?: { readonly name: string; readonly values: Readonly<Record<string, string>> };
  /** Stands below the options in the help. */
  readonly notes?: string;
}

type Values<C extends Command> = {
  -readonly [Name in keyof C['options']]: ValueOf<C['options'][Name]>;
} & (C extends { positional: { name: infer Name extends string; values: infer Words } }
  ? { [Key in Name]: keyof Words }
  : unknown);

/**
 * Reads the command line. Of an option given twice the last one counts.
 *
 * @returns the value of every option by its name; null where `--help` was asked for, which is printed.
 * @throws {OptionError}
 */
export function readOptions<const C extends Command>(
  command: C & { readonly argv: readonly string[] },
): Values<C> | null {
  const { argv, options, positional }: Command & { argv: readonly string[] } = command;
  const fail = (message: string): never => {
    throw new OptionError(message, command.command);
  };
  // parseArgs divides the line; judging what it found is left to us, for messages that say what is allowed.
  const { tokens } = parseArgs({
    args: [...argv],
    strict: false,
    tokens: true,
    options: {
      ...Object.fromEntries(
        Object.entries(options).map(([name, each]) => [name, { type: isFlag(each) ? 'boolean' : 'string' } as const]),
      ),
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (tokens.some((token) => token.kind === 'option' && token.name === 'help')) {
    console.log(helpText(command));
    return null;
  }
  const values = new Map<string, unknown>(
    Object.entries(options).map(([name, each]) => [name, isFlag(each) ? false : (each.default ?? null)]),
  );
  let word: string | undefined;
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      if (!positional) fail(`unexpected argument '${token.value}': only options are allowed`);
      if (word !== undefined) fail(`unexpected argument '${token.value}': one ${positional?.name} at a time`);
      word = token.value;
      continue;
    }
    const { name, rawName, value, inlineValue } = token;
    if (!Object.hasOwn(options, name)) {
      const allowed = [...Object.keys(options), 'help'].map((each) => `--${each}`);
      fail(`unknown option '${rawName}': allowed are ${allowed.join(', ')}`);
    }
    const each = options[name];
    if (isFlag(each)) {
      if (value !== undefined) fail(`${rawName} takes no value, got '${value}'`);
      values.set(name, true);
      continue;
    }
    if (value === undefined) return fail(`${rawName} needs a value, got nothing after it`);
    if (!inlineValue && /^-+[a-z]/i.test(value)) fail(`${rawName} needs a value, got the option '${value}' after it`);
    if (value.trim() === '') fail(`${rawName} needs a value, got an empty one`);
    try {
      values.set(name, each.parse(value));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      fail(`${rawName} must be ${each.allowed}, got '${error.got}'${error.reason}`);
    }
  }
  if (positional) {
    const allowed = Object.keys(positional.values);
    if (word === undefined) fail(`a ${positional.name} must be named: one of ${allowed.join(', ')}`);
    else if (!allowed.includes(word)) fail(`${positional.name} must be one of ${allowed.join(', ')}, got '${word}'`);
    values.set(positional.name, word);
  }
  // Built name by name from `options`, so it has the type that was computed from `options`.
  return Object.fromEntries(values) as Values<C>;
}

function isFlag(each: Option): each is Flag {
  return 'isFlag' in each;
}

const helpWidth = 118;

/** What `--help` prints. */
export function helpText({ command, about, options, positional, notes }: Command): string {
  const words = Object.entries(positional?.values ?? {});
  const all: Readonly<Record<string, Option>> = { ...options, help: flag({ help: 'show this text' }) };
  const listed = Object.entries(all).map(([name, each]): [string, string] =>
    isFlag(each)
      ? [`--${name}`, each.help]
      : [`--${name} ${each.placeholder}`, [each.help ?? '', defaultOf(each)].join('   ').trim()],
  );
  const width = Math.max(...[...words, ...listed].map(([label]) => label.length));
  const lines = (rows: readonly [string, string][]) =>
    rows
      .map(([label, help]) => `  ${label.padEnd(width)}  ${wrapped(help, helpWidth - width - 4, width + 4)}`.trimEnd())
      .join('\n');
  return [
    wrapped(about, helpWidth, 0),
    `${command} -- ${positional ? `<${positional.name}> ` : ''}[options]`,
    ...(words.length > 0 ? [lines(words)] : []),
    lines(listed),
    ...(notes === undefined ? [] : [wrapped(notes, helpWidth, 0)]),
  ].join('\n\n');
}

function defaultOf(about: About<unknown>): string {
  if (about.defaultText !== undefined) return `(default: ${about.defaultText})`;
  if (about.default === undefined || about.default === null) return '';
  return `(default: ${Array.isArray(about.default) ? about.default.join(',') : about.default})`;
}

/** Breaks lines between words; spaces and line ends that are there stay. */
function wrapped(words: string, width: number, indent: number): string {
  const breaks = new RegExp(`(.{1,${width}})( +|$)`, 'gm');
  return words
    .replace(breaks, '$1\n')
    .replace(/\n+$/, '')
    .replaceAll(/\n(?=.)/g, `\n${' '.repeat(indent)}`);
}
