import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RunFolderError } from '../fragments/run-folder.ts';
import { type Unit, type UnitResult, unitKey } from './units.ts';

const configFile = 'config.json';
const unitsFolder = 'units';
const finishedFile = 'comparison.json';
const resultFields: readonly (keyof UnitResult)[] = ['sweep', 'settings', 'arms', 'timings'];

/**
 * The folder of a comparison: `config.json`, one file in `units/` for each unit that is done, and in the end the tables
 * and pictures. A file appears whole or not at all, so a run that was killed can be gone on with.
 */
export class Store {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Opens the folder for a run with this configuration.
   *
   * @param mode `new` refuses a folder with a run in it; `join` goes on with one of the same configuration, or begins it.
   * @throws RunFolderError
   */
  static open(path: string, config: object, mode: 'new' | 'join'): Store {
    const store = new Store(path);
    onDisk(`cannot make ${path}`, () => mkdirSync(join(path, unitsFolder), { recursive: true }));
    const file = join(path, configFile);
    const text = toJson(config);
    if (!existsSync(file)) {
      store.write(configFile, text);
    } else if (mode === 'new') {
      throw new RunFolderError(`${path} holds a comparison already: go on with it (--resume) or name another --out`);
    } else if (store.config !== text) {
      throw new RunFolderError(
        `${path} holds a comparison with other settings (its ${configFile} differs): give the same options, or another --out`,
      );
    }
    return store;
  }

  /** A folder whose units are only read. */
  static read(path: string): Store {
    if (existsSync(join(path, unitsFolder))) return new Store(path);
    throw new RunFolderError(`${path} holds no comparison: it has no folder ${unitsFolder}`);
  }

  /** @throws RunFolderError where there is none. */
  get config(): string {
    return reading(join(this.path, configFile));
  }

  /**
   * The result of a unit that is done; null where it is not.
   *
   * @throws RunFolderError where the file is damaged, or of a unit that was told to do something else. It is left as it is.
   */
  load(unit: Unit): UnitResult | null {
    const file = join(this.path, unitsFolder, `${unitKey(unit)}.json`);
    if (!existsSync(file)) return null;
    const content = readUnit(file);
    if (toJson(content.unit) === toJson(unit)) return content.result;
    throw new RunFolderError(
      `${file} holds a unit with other settings than this run's; move it away to have it trained`,
    );
  }

  save(unit: Unit, result: UnitResult): void {
    this.write(join(unitsFolder, `${unitKey(unit)}.json`), toJson({ unit, result }));
  }

  /**
   * Takes over what is not here yet.
   *
   * @throws RunFolderError where a file is damaged; what came before it is copied.
   */
  copyUnitsFrom(other: Store): void {
    for (const name of readdirSync(join(other.path, unitsFolder))) {
      const [from, to] = [other, this].map(({ path }) => join(path, unitsFolder, name));
      if (!name.endsWith('.json') || existsSync(to)) continue;
      this.write(join(unitsFolder, name), toJson(readUnit(from)));
    }
  }

  write(name: string, content: string): string {
    const path = join(this.path, name);
    const unfinished = `${path}.${process.pid}.unfinished`;
    onDisk(`cannot write ${path}`, () => {
      writeFileSync(unfinished, content);
      renameSync(unfinished, path);
    });
    return path;
  }
}

function readUnit(file: string): { unit: object; result: UnitResult } {
  let content: unknown;
  try {
    content = JSON.parse(reading(file));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new RunFolderError(`${file} is damaged (${error.message}); move it away to have it trained again`);
  }
  if (isUnitFile(content)) return content;
  throw new RunFolderError(`${file} is no result of this comparison; move it away`);
}

function isUnitFile(content: unknown): content is { unit: object; result: UnitResult } {
  const has = (value: unknown, name: string, isRight: (part: unknown) => boolean) =>
    typeof value === 'object' && value !== null && isRight(Reflect.get(value, name));
  const isObject = (value: unknown) => typeof value === 'object' && value !== null;
  return (
    has(content, 'unit', isObject) &&
    has(content, 'result', (result) => resultFields.every((field) => has(result, field, Array.isArray)))
  );
}

function reading(file: string): string {
  return onDisk(`cannot read ${file}`, () => readFileSync(file, 'utf8'));
}

function onDisk<T>(what: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? cause.code : cause;
    throw new RunFolderError(`${what} (${reason})`, { cause });
  }
}

/** The newest comparison below `parent` that has no results yet; null where there is none. */
export function newestUnfinished(parent: string): string | null {
  if (!existsSync(parent)) return null;
  const found = readdirSync(parent)
    .filter((name) => name.startsWith('compare-'))
    .sort()
    .map((name) => join(parent, name))
    .filter((path) => existsSync(join(path, configFile)) && !existsSync(join(path, finishedFile)));
  return found.at(-1) ?? null;
}

function toJson(value: object): string {
  return `${JSON.stringify(value, null, 1)}\n`;
}
