/** The folder of a run: what it was told, what it wrote on the way, what came out. */

import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { CommandError } from './error.ts';

/** The run's folder or a file in it cannot be read or written, or holds another run. The message names it. */
export class RunFolderError extends CommandError {
  override readonly name = 'RunFolderError';
}

const runsFolder = 'runs';
const configFile = 'config.json';
const logFile = 'log.jsonl';

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
   * Begins a run. The folder is made, parents included.
   *
   * @throws {RunFolderError} it cannot be made, or holds a run already.
   */
  static create(path: string, config: object): RunFolder {
    if (!existsSync(join(path, configFile))) return RunFolder.join(path, config);
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
    onDisk(`cannot make ${path}`, () => mkdirSync(path, { recursive: true }));
    if (!folder.has(configFile)) folder.writeJson(configFile, config);
    if (isDeepStrictEqual(folder.config, JSON.parse(toJson(config)))) return folder;
    throw new RunFolderError(
      `${path} holds a run with other settings (its ${configFile} differs): give the same options, or another folder`,
    );
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
    onDisk(`cannot write ${path}`, () => writeSync(this.#openLog(), `${JSON.stringify(record)}\n`));
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
    const unfinished = `${path}.${process.pid}.unfinished`;
    onDisk(`cannot write ${path}`, () => {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(unfinished, content);
      renameSync(unfinished, path);
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

  /** Closes the log. May be called again; the next line opens it anew. */
  close(): void {
    if (this.#log !== null) closeSync(this.#log);
    this.#log = null;
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

/** A value as the results files hold it. */
export function toJson(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function onDisk<T>(what: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? cause.code : cause;
    throw new RunFolderError(`${what} (${reason})`, { cause });
  }
}
