/** Files with a class each: those of installed packages by their kind, or a user's folder with one sub-folder a class. */

import { closeSync, openSync, readdirSync, readSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CommandError } from '../../command/error.ts';

/** Input data that cannot be used. The message names the folder, file or class, what came and what is allowed. */
export class DatasetError extends CommandError {
  override readonly name = 'DatasetError';
}

export interface LabelledFile {
  /** Path below the source, with `/` on every system: it decides the split, so it must not depend on the machine. */
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  readonly className: string;
  /** Files of one group are wholly in training or wholly held out. */
  readonly group: string;
}

export interface Source {
  /** In words, for messages. */
  readonly title: string;
  readonly classes: readonly string[];
  readonly files: readonly LabelledFile[];
  /** What `group` is: a package, or the file itself. */
  readonly groupedBy: 'package' | 'file';
}

const packageClasses: readonly { name: string; endings: readonly string[] }[] = [
  { name: 'declarations', endings: ['.d.ts', '.d.mts', '.d.cts'] },
  { name: 'javascript', endings: ['.js', '.mjs', '.cjs'] },
  { name: 'json', endings: ['.json'] },
  { name: 'markdown', endings: ['.md'] },
  { name: 'source maps', endings: ['.map'] },
  { name: 'native code', endings: ['.node', '.wasm', '.so', '.dll', '.dylib', '.exe'] },
];

/** The files that are there after every install. */
export function installedPackages(): Source {
  return packageSource(fileURLToPath(new URL('../../node_modules', import.meta.url)));
}

/**
 * The files of a `node_modules` folder by kind. Minified scripts are no class of their own and are left aside. Two copies
 * of a package in different places are one group.
 *
 * @throws {DatasetError} the folder is missing or unreadable.
 */
export function packageSource(nodeModules: string): Source {
  const files = filesBelow(nodeModules).flatMap((file): LabelledFile[] => {
    const className = packageClass(file);
    return className === undefined ? [] : [{ ...file, className, group: packageOf(file.name) }];
  });
  return { title: 'installed packages', classes: packageClasses.map(({ name }) => name), files, groupedBy: 'package' };
}

/**
 * A folder with one sub-folder a class, whose files, however deep, belong to it. Loose files beside the sub-folders are
 * ignored.
 *
 * @throws {DatasetError} the folder is missing, no folder, has one class only, or anything in it is unreadable.
 */
export function folderSource(directory: string): Source {
  const files = filesBelow(directory).flatMap((file): LabelledFile[] => {
    const [className, ...below] = file.name.split('/');
    return below.length > 0 ? [{ ...file, className, group: file.name }] : [];
  });
  const classes = [...new Set(files.map(({ className }) => className))].sort();
  if (classes.length < 2) {
    const came = classes.length === 0 ? 'none' : `only '${classes[0]}'`;
    throw new DatasetError(`${directory}: at least two classes (sub-folders with files) are needed, found ${came}`);
  }
  return { title: directory, classes, files, groupedBy: 'file' };
}

/** `vite/node_modules/@a/b/index.js` belongs to `@a/b`. */
export function packageOf(name: string): string {
  const parts = name.split('/');
  const start = parts.lastIndexOf('node_modules') + 1;
  return parts.slice(start, start + (parts[start]?.startsWith('@') ? 2 : 1)).join('/');
}

type FoundFile = Pick<LabelledFile, 'name' | 'path' | 'bytes'>;

function packageClass(file: FoundFile): string | undefined {
  const name = file.name.toLowerCase();
  const kind = packageClasses.find(({ endings }) => endings.some((ending) => name.endsWith(ending)))?.name;
  if (kind === 'javascript' && isMinified(file)) return undefined;
  if (kind === undefined && isExecutable(file)) return 'native code';
  return kind;
}

function isMinified({ path, bytes }: FoundFile): boolean {
  const longLine = 300;
  if (bytes < 4 * longLine) return false;
  const head = readAt(path, 16 * 1024);
  const lines = head.reduce((count, byte) => count + (byte === 0x0a ? 1 : 0), 1);
  return head.length / lines > longLine;
}

// ELF, Mach-O (64 bit, and universal) and PE. Compilers and the like come as programs without an ending.
const executableStarts = ['7f454c46', 'cffaedfe', 'cafebabe', '4d5a9000'];

function isExecutable({ name, path, bytes }: FoundFile): boolean {
  if (name.slice(name.lastIndexOf('/') + 1).includes('.') || bytes < 64 * 1024) return false;
  return executableStarts.includes(Buffer.from(readAt(path, 4)).toString('hex'));
}

/** All files below a folder, by name. Names that start with a dot are passed over; links are followed, but into each folder once. */
function filesBelow(folder: string): FoundFile[] {
  return walked(folder, '', new Set()).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function walked(folder: string, prefix: string, visited: Set<string>): FoundFile[] {
  const real = reading(folder, () => realpathSync(folder));
  if (visited.has(real)) return [];
  visited.add(real);
  const names = reading(folder, () => readdirSync(folder)).filter((name) => !name.startsWith('.'));
  return names.flatMap((own) => {
    const [path, name] = [join(folder, own), prefix + own];
    const stats = reading(path, () => statSync(path));
    if (stats.isDirectory()) return walked(path, `${name}/`, visited);
    return stats.isFile() ? [{ name, path, bytes: stats.size }] : [];
  });
}

/**
 * The file's bytes; of a file above `limit` bytes blocks of 32 KiB, evenly spaced from its start to its end.
 *
 * @throws {DatasetError} the file cannot be read.
 */
export function readBlocks({ path, bytes }: FoundFile, limit: number): Uint8Array[] {
  if (bytes <= limit) return [readAt(path, bytes)];
  const length = Math.min(limit, 32 * 1024);
  const count = Math.max(1, Math.floor(limit / length));
  const spacing = count === 1 ? 0 : (bytes - length) / (count - 1);
  return Array.from({ length: count }, (_, i) => readAt(path, length, Math.floor(i * spacing)));
}

function readAt(path: string, length: number, position = 0): Uint8Array {
  return reading(path, () => {
    const file = openSync(path, 'r');
    try {
      const bytes = new Uint8Array(length);
      return bytes.subarray(0, readSync(file, bytes, 0, length, position));
    } finally {
      closeSync(file);
    }
  });
}

function reading<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? cause.code : cause;
    throw new DatasetError(`cannot read ${path} (${reason})`, { cause });
  }
}
