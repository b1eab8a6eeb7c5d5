import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RunFolderError } from '../fragments/run-folder.ts';
import { type Unit, type UnitResult, unitKey } from './units.ts';

const configFile = 'config.json';
const unitsFolder = 'units';
const finishedFile = 'comparison.json';

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
    mkdirSync(join(path, unitsFolder), { recursive: true });
    const file = join(path, configFile);
    const text = toJson(config);
    if (!existsSync(file)) {
      store.write(configFile, text);
    } else if (mode === 'new') {
      throw new RunFolderError(`${path} holds a comparison already: go on with it (--resume) or name another --out`);
    } else if (readFileSync(file, 'utf8') !== text) {
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

  get config(): string {
    return readFileSync(join(this.path, configFile), 'utf8');
  }

  /** The result of a unit that is done; null where it is not. */
  load(unit: Unit): UnitResult | null {
    const file = join(this.path, unitsFolder, `${unitKey(unit)}.json`);
    if (!existsSync(file)) return null;
    const content: { unit: Unit; result: UnitResult } = JSON.parse(readFileSync(file, 'utf8'));
    // What a unit was told to do is part of it: another setting is another unit.
    return toJson(content.unit) === toJson(unit) ? content.result : null;
  }

  save(unit: Unit, result: UnitResult): void {
    this.write(join(unitsFolder, `${unitKey(unit)}.json`), toJson({ unit, result }));
  }

  copyUnitsFrom(other: Store): void {
    for (const name of readdirSync(join(other.path, unitsFolder))) {
      if (!name.endsWith('.json')) continue;
      this.write(join(unitsFolder, name), readFileSync(join(other.path, unitsFolder, name), 'utf8'));
    }
  }

  write(name: string, content: string): string {
    const path = join(this.path, name);
    const unfinished = `${path}.${process.pid}.unfinished`;
    writeFileSync(unfinished, content);
    renameSync(unfinished, path);
    return path;
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
