/** What can be asked about, and the text of a file that a registry's package or a command gives. */

import { readFileSync } from 'node:fs';
import { DatasetError } from '../../data/files.ts';

/** A question and its right answer. */
export interface Fact {
  readonly question: string;
  readonly right: string;
}

/** What can be asked, and where it stands. */
export interface Subject {
  readonly about: string;
  readonly defaultPath: string;
  /** The same for all questions. Absent: the right answers of others. */
  readonly choices?: readonly string[];
  read(path: string): Fact[];
}

/**
 * @param how the command that brings it, for the message.
 * @throws {DatasetError} it cannot be read.
 */
export function readSource(path: string, how: string): string {
  try {
    return readFileSync(path, 'utf8').trimEnd();
  } catch {
    throw new DatasetError(`${path} cannot be read: ${how}`);
  }
}
