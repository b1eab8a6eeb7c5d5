/**
 * Commands that are killed at random moments, resumed until they end, and held against a run that nobody disturbed. A third of
 * the kills falls into the start, a third while a file is written, the rest anywhere.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, extname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { Random, readSafetensors } from '../../src/index.ts';
import { writerOf } from '../../src/tensor/platform/write-aside.ts';
import { smallModel } from '../experiments/language-model/command.ts';

/** A command that can be killed: how it begins, and how it goes on, in the folder `run`. */
export interface Target {
  readonly name: string;
  /** Below `experiments/`. */
  readonly script: string;
  begin(run: string): readonly string[];
  resume(run: string): readonly string[];
}

export function startTarget(...options: readonly string[]): Target {
  return {
    ...{ name: 'start', script: 'fragments/start.ts' },
    begin: (run) => [...options, '--device', 'cpu', '--out', run],
    resume: (run) => ['--resume', run],
  };
}

/** On the small model of the fixtures, which is put below `folder` with data for it. */
export function finetuneTarget(folder: string): Target {
  const [model, data] = [smallModel(join(folder, 'model')), join(folder, 'data')];
  mkdirSync(data);
  const line = (i: number) => JSON.stringify({ question: `Is ${i} even?`, choices: ['yes', 'no'], answer: i % 2 });
  for (const [name, from, to] of [
    ['train', 0, 27],
    ['valid', 30, 36],
    ['test', 40, 46],
  ] as const) {
    const lines = Array.from({ length: to - from }, (_, i) => line(from + i));
    writeFileSync(join(data, `${name}.jsonl`), lines.join('\n'));
  }
  const rule = ['--policy', 'grades', '--threshold', '0.5', '--dropout', '0.1', '--rate', '0.02', '--keep-best'];
  const size = ['--steps', '60', '--batch', '4', '--accumulate', '2', '--device', 'cpu'];
  return {
    ...{ name: 'finetune', script: 'language-model/finetune.ts' },
    begin: (run) => ['--model', model, '--data', data, ...size, ...rule, '--out', run],
    resume: (run) => ['--resume', run],
  };
}

export function compareTarget(): Target {
  const size = ['--quick', '--steps', '24', '--tasks', 'contains', '--arms', 'full,full+grades,lora', '--workers', '1'];
  const begin = (run: string) => [...size, '--device', 'cpu', '--out', run];
  return { name: 'compare', script: 'compare/compare.ts', begin, resume: (run) => [...begin(run), '--resume'] };
}

const moments = ['start', 'write', 'anywhere'] as const;

export interface Kill {
  readonly moment: (typeof moments)[number];
  /** Milliseconds from the start of the process. */
  readonly after: number;
  /** Files that the run had left by then. */
  readonly files: number;
}

export interface Tormented {
  readonly target: string;
  readonly kills: Kill[];
  /** Runs that came to their end, and to that of the undisturbed one. */
  ends: number;
  /** In words; none where all is well. */
  readonly faults: string[];
}

/**
 * Kills and resumes runs of a command below `folder`, one after the other, until so many kills have hit and the last run has ended.
 *
 * @param onKill called after every kill.
 */
export async function torment(
  target: Target,
  { folder, kills, seed, onKill }: { folder: string; kills: number; seed: number; onKill?(done: number): void },
): Promise<Tormented> {
  const random = new Random(seed);
  const found: Tormented = { target: target.name, kills: [], ends: 0, faults: [] };
  // Each run has a folder of its own around it, for what a command puts beside its run.
  const newRun = (name: string) => {
    mkdirSync(join(folder, name));
    return join(folder, name, 'run');
  };
  const whole = newRun('undisturbed');
  const undisturbed = await start(target, target.begin(whole));
  if (undisturbed.code !== 0) return { ...found, faults: [`undisturbed, it ended so: ${undisturbed.told}`] };
  const expected = outcome(whole);
  while (found.faults.length === 0 && found.kills.length < kills) {
    const path = newRun(`killed-${found.ends}`);
    while (true) {
      const line = existsSync(join(path, 'config.json')) ? target.resume(path) : target.begin(path);
      const moment = moments[random.integer(moments.length)];
      const after = random.uniform() * undisturbed.milliseconds * (moment === 'start' ? 0.3 : 1);
      const skipped = random.integer(5);
      const end = await start(target, line, (child) => {
        const kill = () => child.kill('SIGKILL');
        if (found.kills.length >= kills) return null;
        return moment === 'write' ? atWrite(path, skipped, kill) : setTimeout(kill, after);
      });
      const isKilled = end.killedBy === 'SIGKILL';
      found.faults.push(...tornFiles(dirname(path), isKilled));
      if (isKilled) {
        found.kills.push({ moment, after: Math.round(end.milliseconds), files: filesBelow(dirname(path)).length });
        onKill?.(found.kills.length);
        continue;
      }
      if (end.code !== 0) found.faults.push(`${line.join(' ')}: ${end.told}`);
      else found.faults.push(...differences(expected, outcome(path)).map((each) => `${path}: ${each}`));
      break;
    }
    found.ends++;
  }
  return found;
}

/** Runs a command to its end, whatever that is. */
async function start(
  { script }: Target,
  line: readonly string[],
  killer: (child: ChildProcess) => NodeJS.Timeout | null = () => null,
) {
  // The process itself, and none that starts it: a kill must hit it.
  const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  const path = fileURLToPath(new URL(`../../experiments/${script}`, import.meta.url));
  const began = performance.now();
  const child = spawn(process.execPath, ['--import', loader, path, ...line], { stdio: ['ignore', 'ignore', 'pipe'] });
  let printed = '';
  child.stderr.on('data', (chunk) => {
    printed = `${printed}${chunk}`.slice(-2000);
  });
  const timer = killer(child);
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  const [code, killedBy] = await once(child, 'exit');
  clearTimeout(timer ?? undefined);
  process.off('exit', kill);
  return { code, killedBy, told: `status ${code ?? killedBy}, ${printed}`, milliseconds: performance.now() - began };
}

/** Calls `then` while a file of the run is written, the first `skipped` of them passed over. */
function atWrite(run: string, skipped: number, then: () => void): NodeJS.Timeout {
  let [seen, last] = [0, ''];
  return setInterval(() => {
    const writing = filesBelow(dirname(run)).find((name) => writerOf(name) !== null) ?? '';
    if (writing !== '' && writing !== last && seen++ >= skipped) then();
    last = writing;
  }, 1);
}

function filesBelow(folder: string): string[] {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));
  return paths.filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
}

/** What no reader could use, and what a run that is over should have taken with it. */
function tornFiles(folder: string, isUnderWay: boolean): string[] {
  return filesBelow(folder).flatMap((path) => {
    if (writerOf(path) !== null) return isUnderWay ? [] : [`${path} is left over`];
    try {
      content(path);
      return [];
    } catch (error) {
      return [`${path} is torn: ${error}`];
    }
  });
}

/** Keys under which times, the memory of a process and its command line stand: runs differ in them. */
const incomparable =
  /^(arguments|date|milliseconds|seconds|speeds|timing|memory|peakBytes|(live|reserved)(Bytes|Buffers))$/;

/** A file as it is compared; drawings and pages show times, so of them only that they are whole. */
function content(path: string): unknown {
  const comparable = (key: string, value: unknown) => (incomparable.test(key) ? undefined : value);
  const text = () => readFileSync(path, 'utf8').replaceAll(dirname(dirname(path)), '…');
  switch (extname(path)) {
    case '.json':
      return JSON.parse(text(), comparable);
    case '.jsonl':
      if (!/(^|\n)$/.test(text())) throw new Error('its last line has no end');
      return text()
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line, comparable));
    case '.safetensors': {
      const { state } = readSafetensors(readFileSync(path));
      return Object.entries(state).map(([name, { data }]) => [name, createHash('sha256').update(data).digest('hex')]);
    }
    case '.svg':
    case '.html':
      if (!/<\/(svg|html)>\s*$/.test(text())) throw new Error('its end is missing');
  }
  return null;
}

/** All files of a run that is over, by their names. Who holds it is no part of that. */
export function outcome(run: string): ReadonlyMap<string, unknown> {
  const files = filesBelow(run).filter((path) => basename(path) !== 'lock.json');
  return new Map(files.sort().map((path) => [path.slice(run.length + 1), content(path)]));
}

/** In words; none where two runs came to the same. */
export function differences(expected: ReadonlyMap<string, unknown>, actual: ReadonlyMap<string, unknown>): string[] {
  return [...new Set([...expected.keys(), ...actual.keys()])].flatMap((name) => {
    if (!actual.has(name)) return [`${name} is missing`];
    if (!expected.has(name)) return [`${name} is too many`];
    return isDeepStrictEqual(expected.get(name), actual.get(name)) ? [] : [`${name} differs`];
  });
}
