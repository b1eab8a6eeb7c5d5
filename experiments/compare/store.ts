/** The units of a run that are done: a file each, so that a run that was killed can be gone on with, and parts put together. */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type RunFolder, RunFolderError } from '../../command/run-folder.ts';
import type { ArmResult } from './results.ts';
import { type Unit, unitKey } from './units.ts';

const unitsFolder = 'units';

/** What a command has to say of its units and their results. */
export interface UnitKind<Unit, Result> {
  /** Tells units apart, and names their files. */
  key(unit: Unit): string;
  isResult(value: unknown): value is Result;
}

/** Of the comparison and the ablation. */
export const armUnits: UnitKind<Unit, ArmResult> = {
  key: unitKey,
  isResult(value): value is ArmResult {
    const { arm, accuracy, operations } = Object(value);
    return typeof arm === 'string' && typeof accuracy === 'number' && typeof operations === 'object';
  },
};

export class UnitStore<OwnUnit extends object, Result> {
  readonly folder: RunFolder;
  readonly #kind: UnitKind<OwnUnit, Result>;

  constructor(folder: RunFolder, kind: UnitKind<OwnUnit, Result>) {
    this.folder = folder;
    this.#kind = kind;
  }

  /**
   * The results of a unit that is done; null where it is not.
   *
   * @throws RunFolderError where the file is damaged, or of a unit that was told to do something else. It is left as it is.
   */
  load(unit: OwnUnit): Result[] | null {
    const name = this.#fileOf(unit);
    if (!this.folder.has(name)) return null;
    const content = this.#read(this.folder, name);
    if (isDeepStrictEqual(content.unit, JSON.parse(JSON.stringify(unit)))) return content.results;
    throw new RunFolderError(
      `${this.folder.path}/${name} holds a unit with other settings than this run's; move it away to have it trained`,
    );
  }

  /** @throws RunFolderError where it cannot be written. */
  save(unit: OwnUnit, results: readonly Result[]): void {
    this.folder.writeJson(this.#fileOf(unit), { unit, results });
    this.removeCheckpoint(unit);
  }

  /** The file that keeps a unit on its way, until it is saved. */
  checkpointOf(unit: OwnUnit): string {
    return join(this.folder.path, `${this.#kind.key(unit)}.checkpoint`);
  }

  /** A kill right after the unit was saved leaves it. */
  removeCheckpoint(unit: OwnUnit): void {
    rmSync(this.checkpointOf(unit), { force: true });
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

  #fileOf(unit: OwnUnit): string {
    return `${unitsFolder}/${this.#kind.key(unit)}.json`;
  }

  #read(folder: RunFolder, name: string): { unit: object; results: Result[] } {
    const { unit, results } = Object(folder.readJson(name));
    if (typeof unit === 'object' && Array.isArray(results) && results.every(this.#kind.isResult))
      return { unit, results };
    throw new RunFolderError(`${folder.path}/${name} is no result of this command; move it away`);
  }
}
