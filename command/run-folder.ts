/** The folder of a run: what it was told, what it wrote on the way, what came out. */

import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { FileWriteError } from '../src/index.ts';
import { unfinishedName, writeAsideSync, writerOf } from '../src/tensor/platform/write-aside.ts';
import { CommandError } from './error.ts';

/** The run's folder or a file in it cannot be read or written, or holds another run. The message names it. */
export class RunFolderError extends CommandError {
  override readonly name = 'RunFolderError';
}

const runsFolder = 'runs';
const configFile = 'config.json';
const logFile = 'log.jsonl';
/** Says which process has the folder to itself. */
const lockFile = 'lock.json';

/**
 * Holds `config.json`, `log.jsonl` (one JSON value a line) and what the command writes. A file appears whole or not at all,
 * and every call has written when it returns: a run that is interrupted or crashes can be read up to its last line.
 */
export class RunFolder {
  readonly path: string;
  #log: number | null = null;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Begins a run that has the folder to itself. The folder is made, parents included.
   *
   * @throws {RunFolderError} it cannot be made, holds a run already, or one begins there at this moment.
   */
  static create(path: string, config: object): RunFolder {
    if (!existsSync(join(path, configFile))) {
      makeFolder(path);
      new RunFolder(path).claim();
      return RunFolder.join(path, config);
    }
    throw new RunFolderError(`${path} holds a run already (${configFile}); go on with it or name another folder`);
  }

  /**
   * Goes on with a run.
   *
   * @throws {RunFolderError} there is none.
   */
  static open(path: string): RunFolder {
    if (existsSync(join(path, configFile))) return new RunFolder(path);
    throw new RunFolderError(`${path} holds no run: it has no ${configFile}`);
  }

  /**
   * Goes on with a run of this configuration, or begins it where the folder holds none. Several processes may join at once.
   *
   * @throws {RunFolderError} the folder cannot be made, or holds a run of another configuration.
   */
  static join(path: string, config: object): RunFolder {
    const folder = new RunFolder(path);
    makeFolder(path);
    if (!folder.has(configFile)) folder.writeJson(configFile, config);
    if (isDeepStrictEqual(folder.config, JSON.parse(toJson(config)))) return folder;
    throw new RunFolderError(
      `${path} holds a run with other settings (its ${configFile} differs): give the same options, or another folder`,
    );
  }

  /**
   * Keeps other processes that claim the folder out of it, until this one closes it or ends in whatever way.
   *
   * @throws {RunFolderError} another process has it.
   */
  claim(): void {
    const path = join(this.path, lockFile);
    const holder = takeLock(path);
    if (holder) {
      throw new RunFolderError(
        `${this.path} is in use by process ${holder.process} on ${holder.machine}: end that first, or name another folder ` +
          `(if it is no run any more, remove ${path})`,
      );
    }
    this.sweep();
  }

  /** What `config.json` holds. */
  get config(): unknown {
    return this.readJson(configFile);
  }

  has(name: string): boolean {
    return existsSync(join(this.path, name));
  }

  /** Names of the files in a folder below this one; none where there is no such folder. */
  list(name: string): string[] {
    const path = join(this.path, name);
    return existsSync(path) ? onDisk(`cannot read ${path}`, () => readdirSync(path)) : [];
  }

  /** Adds a line to `log.jsonl`. */
  log(record: object): void {
    const path = join(this.path, logFile);
    onDisk(`cannot write ${path}`, () => {
      const file = this.#openLog();
      const { nlink, size } = fstatSync(file);
      if (nlink === 0) throw new Error('it was removed');
      const line = Buffer.from(`${JSON.stringify(record)}\n`);
      let written = 0;
      try {
        while (written < line.length) written += writeSync(file, line, written);
      } catch (error) {
        // A disk that is full takes a part of a line.
        if (written > 0) ftruncateSync(file, size);
        throw error;
      }
    });
  }

  /** Bytes of the log. A checkpoint keeps them, so that a run that goes on from it can `cutLog` what came after. */
  get logBytes(): number {
    return onDisk(`cannot read ${join(this.path, logFile)}`, () => fstatSync(this.#openLog()).size);
  }

  cutLog(bytes: number): void {
    onDisk(`cannot write ${join(this.path, logFile)}`, () => ftruncateSync(this.#openLog(), bytes));
  }

  /** Writes a whole file and returns its path. A file of that name is replaced at once, never left half. */
  write(name: string, content: string): string {
    const path = join(this.path, name);
    onDisk(`cannot write ${path}`, () => {
      // Not the folders above: a run's folder that is gone is an error, and not to be made again with a part of what it held.
      if (!existsSync(dirname(path))) mkdirSync(dirname(path));
      writeAsideSync(path, content);
    });
    return path;
  }

  writeJson(name: string, value: object): string {
    return this.write(name, toJson(value));
  }

  /** @throws {RunFolderError} there is no such file, or it is damaged. */
  readJson(name: string): unknown {
    const path = join(this.path, name);
    const content = onDisk(`cannot read ${path}`, () => readFileSync(path, 'utf8'));
    try {
      return JSON.parse(content);
    } catch (error) {
      throw new RunFolderError(`${path} is damaged (${error instanceof Error ? error.message : error})`);
    }
  }

  /**
   * Removes what processes that are gone had begun to write, in this folder or another. Not while other machines write there:
   * whose process that was cannot be told.
   */
  sweep(folder = this.path): void {
    if (!existsSync(folder)) return;
    onDisk(`cannot read ${folder}`, () => {
      for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        const writer = writerOf(name);
        if (writer !== null && !isOther(writer)) rmSync(join(folder, name), { force: true });
      }
    });
  }

  /** Does a part of the run. Where it cannot write, and what was kept is still there, it is said how to go on. */
  async sayingHow<T>(goOn: string, part: () => T | Promise<T>): Promise<T> {
    try {
      return await part();
    } catch (error) {
      if ((error instanceof FileWriteError || error instanceof RunFolderError) && this.has(configFile))
        console.error(`\nWhat was kept before is whole. ${goOn}, once it can be written.`);
      throw error;
    }
  }

  /** Closes the log and lets others claim the folder. May be called again; the next line opens the log anew. */
  close(): void {
    if (this.#log !== null) closeSync(this.#log);
    this.#log = null;
    const lock = join(this.path, lockFile);
    const holder = readLock(lock);
    if (holder && isOwn(holder)) rmSync(lock, { force: true });
  }

  #openLog(): number {
    this.#log ??= openSync(join(this.path, logFile), 'a');
    return this.#log;
  }
}

/** A folder below `runs/` for a run that begins now: `runs/<command>-<time>`. */
export function newRunPath(command: string): string {
  return join(runsFolder, `${command}-${new Date().toISOString().replace(/[:.]/g, '-')}`);
}

/**
 * The newest run of this command below `parent` that lacks the file it ends with.
 *
 * @throws {RunFolderError} there is none.
 */
export function newestUnfinishedRun(command: string, lastFile: string, parent = runsFolder): string {
  const names = existsSync(parent) ? readdirSync(parent) : [];
  const found = names
    .filter((name) => name.startsWith(`${command}-`))
    .sort()
    .map((name) => join(parent, name))
    .findLast((path) => existsSync(join(path, configFile)) && !existsSync(join(path, lastFile)));
  if (found !== undefined) return found;
  throw new RunFolderError(`there is no unfinished run of ${command} below ${parent}; name its folder`);
}

/**
 * Writes the file that a command was told to leave its results in.
 *
 * @throws {RunFolderError} it cannot be written.
 */
export function writeResults(path: string, results: object): void {
  onDisk(`cannot write ${path}`, () => writeFileSync(path, toJson(results)));
}

/** A value as the results files hold it. */
export function toJson(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** Makes a folder, parents included. @throws {RunFolderError} it cannot be made. */
export function makeFolder(path: string): void {
  onDisk(`cannot make ${path}`, () => {
    // What lacks is said to be the folder, where it is the right to make one.
    let above = path;
    while (!existsSync(above)) above = dirname(above);
    if (above !== path) accessSync(above, constants.W_OK);
    mkdirSync(path, { recursive: true });
  });
}

interface Holder {
  readonly process: number;
  readonly machine: string;
}

/** Makes a lock, in the place of one whose process is gone. Null where this process has it now, else who does. */
function takeLock(path: string): Holder | null {
  while (true) {
    const holder = readLock(path);
    if (holder === null) {
      try {
        createWhole(path, toJson({ process: process.pid, machine: hostname() }));
        return null;
      } catch (cause) {
        if (!hasCode(cause, 'EEXIST')) throw cannot(`cannot write ${path}`, cause);
      }
    } else if (isOwn(holder)) return null;
    else if (!isGone(holder)) return holder;
    else {
      // Removed under a lock of its own: what a second process removed a moment later would be the lock of the first.
      const removing = `${path}.removing`;
      const remover = takeLock(removing);
      if (remover) return remover;
      try {
        const still = readLock(path);
        if (still && isGone(still)) onDisk(`cannot remove ${path}`, () => rmSync(path, { force: true }));
      } finally {
        rmSync(removing, { force: true });
      }
    }
  }
}

function isOwn(holder: Holder): boolean {
  return holder.process === process.pid && holder.machine === hostname();
}

function isGone(holder: Holder): boolean {
  return holder.machine === hostname() && !isOther(holder.process);
}

/** What a lock says; null where there is none. One that a crash left empty holds nobody. */
function readLock(path: string): Holder | null {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    if (hasCode(cause, 'ENOENT') || hasCode(cause, 'ENOTDIR')) return null;
    if (!(cause instanceof SyntaxError)) throw cannot(`cannot read ${path}`, cause);
  }
  const [owner, machine] =
    isObject(content) && 'process' in content && 'machine' in content ? [content.process, content.machine] : [];
  return { process: Number(owner ?? 0), machine: String(machine ?? hostname()) };
}

/** Whether another process of this number runs on this machine. */
function isOther(pid: number): boolean {
  if (pid === process.pid || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It runs, and belongs to somebody else.
    return hasCode(error, 'EPERM');
  }
}

/** Writes a file that is not there yet. It appears together with its content: an empty lock would be taken for what a crash left. */
function createWhole(path: string, content: string): void {
  const unfinished = unfinishedName(path);
  try {
    writeFileSync(unfinished, content);
    linkSync(unfinished, path);
  } catch (error) {
    if (hasCode(error, 'EEXIST')) throw error;
    // Some file systems have no links.
    writeFileSync(path, content, { flag: 'wx' });
  } finally {
    rmSync(unfinished, { force: true });
  }
}

function hasCode(error: unknown, code: string): boolean {
  return isObject(error) && 'code' in error && error.code === code;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function cannot(what: string, cause: unknown): RunFolderError {
  const reason =
    cause instanceof Error && 'code' in cause ? cause.code : cause instanceof Error ? cause.message : cause;
  return new RunFolderError(`${what} (${reason})`, { cause });
}

function onDisk<T>(what: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    throw cannot(what, cause);
  }
}
