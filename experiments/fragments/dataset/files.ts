import {
  closeSync,
  type Dirent,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatasetError } from './error.ts';

export interface FoundFile {
  /** Path below the walked folder, with `/` on every system: it decides the split, so it must not depend on the machine. */
  name: string;
  path: string;
  bytes: number;
}

/**
 * All regular files below a folder, sorted by name; hidden ones (whose name starts with a dot) are ignored. Links are
 * followed when asked, each folder once, so a link to a parent does not go round for ever.
 *
 * @throws {DatasetError} a folder or file cannot be read, a dangling link included.
 */
export function filesBelow(folder: string, { followLinks }: { followLinks: boolean }): FoundFile[] {
  const found: FoundFile[] = [];
  const visited = new Set<string>();

  const walk = (path: string, prefix: string) => {
    const real = reading(path, () => realpathSync(path));
    if (visited.has(real)) return;
    visited.add(real);
    for (const entry of visibleEntries(path)) {
      if (entry.isSymbolicLink() && !followLinks) continue;
      const entryPath = join(path, entry.name);
      const name = prefix + entry.name;
      const stats = entry.isDirectory() ? undefined : fileStats(entryPath);
      if (stats === undefined || stats.isDirectory()) walk(entryPath, `${name}/`);
      else if (stats.isFile()) found.push({ name, path: entryPath, bytes: stats.size });
    }
  };

  walk(folder, '');
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @throws {DatasetError} the folder cannot be read. */
export function visibleEntries(folder: string): Dirent[] {
  const entries = reading(folder, () => readdirSync(folder, { withFileTypes: true }));
  return entries.filter(({ name }) => !name.startsWith('.'));
}

/** @throws {DatasetError} the file cannot be reached. */
export function fileStats(path: string): Stats {
  return reading(path, () => statSync(path));
}

const BLOCK_BYTES = 32 * 1024;

/**
 * The file's bytes; of a file above `limit` bytes blocks of 32 KiB, evenly spaced from its start to its end.
 *
 * @throws {DatasetError} the file cannot be read.
 */
export function readBlocks(path: string, limit: number): Uint8Array[] {
  return reading(path, () => {
    const file = openSync(path, 'r');
    try {
      const { size } = fstatSync(file);
      if (size <= limit) return [readAt(file, 0, size)];
      const count = Math.max(1, Math.floor(limit / BLOCK_BYTES));
      const length = Math.min(limit, BLOCK_BYTES);
      const spacing = count === 1 ? 0 : (size - length) / (count - 1);
      return Array.from({ length: count }, (_, index) => readAt(file, Math.floor(index * spacing), length));
    } finally {
      closeSync(file);
    }
  });
}

/** The first bytes of a file, to tell what it is. */
export function readHead(path: string, bytes: number): Uint8Array {
  return reading(path, () => {
    const file = openSync(path, 'r');
    try {
      return readAt(file, 0, bytes);
    } finally {
      closeSync(file);
    }
  });
}

function readAt(file: number, position: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  return bytes.subarray(0, readSync(file, bytes, 0, length, position));
}

function reading<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? cause.code : cause;
    throw new DatasetError(`cannot read ${path} (${reason}): every file of a class must be readable`, { cause });
  }
}
