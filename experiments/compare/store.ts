/** The units of a run that are done: a file each, so that a run that was killed can be gone on with, and parts put together. */

import { isDeepStrictEqual } from 'node:util';
import { type RunFolder, RunFolderError } from '../../command/run-folder.ts';
import type { ArmResult } from './results.ts';
import { type Unit, unitKey } from './units.ts';

const unitsFolder = 'units';

export class UnitStore {
  readonly folder: RunFolder;

  constructor(folder: RunFolder) {
    this.folder = folder;
  }

  /**
   * The results of a unit that is done; null where it is not.
   *
   * @throws RunFolderError where the file is damaged, or of a unit that was told to do something else. It is left as it is.
   */
  load(unit: Unit): ArmResult[] | null {
    const name = this.#fileOf(unit);
    if (!this.folder.has(name)) return null;
    const content = this.#read(this.folder, name);
    if (isDeepStrictEqual(content.unit, JSON.parse(JSON.stringify(unit)))) return content.results;
    throw new RunFolderError(
      `${this.folder.path}/${name} holds a unit with other settings than this run's; move it away to have it trained`,
    );
  }

  /** @throws RunFolderError where it cannot be written. */
  save(unit: Unit, results: readonly ArmResult[]): void {
    this.folder.writeJson(this.#fileOf(unit), { unit, results });
  }

  /**
   * Takes over from another folder what is not here yet.
   *
   * @throws RunFolderError where a file is damaged; what came before it is copied.
   */
  copyFrom(other: RunFolder): void {
    for (const file of other.list(unitsFolder)) {
      const name = `${unitsFolder}/${file}`;
      if (file.endsWith('.json') && !this.folder.has(name)) this.folder.writeJson(name, this.#read(other, name));
    }
  }

  #fileOf(unit: Unit): string {
    return `${unitsFolder}/${unitKey(unit)}.json`;
  }

  #read(folder: RunFolder, name: string): { unit: object; results: ArmResult[] } {
    const { unit, results } = Object(folder.readJson(name));
    if (typeof unit === 'object' && Array.isArray(results) && results.every(isArmResult)) return { unit, results };
    throw new RunFolderError(`${folder.path}/${name} is no result of this command; move it away`);
  }
}

function isArmResult(value: unknown): value is ArmResult {
  const { arm, accuracy, operations } = Object(value);
  return typeof arm === 'string' && typeof accuracy === 'number' && typeof operations === 'object';
}
