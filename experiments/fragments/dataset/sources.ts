import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatasetError } from './error.ts';
import { type FoundFile, fileStats, filesBelow, readHead, visibleEntries } from './files.ts';

/** A file with its class, and the group that must be wholly in training or wholly held out. */
export interface LabelledFile extends FoundFile {
  className: string;
  group: string;
}

export interface Source {
  /** In words, for messages. */
  title: string;
  classes: readonly string[];
  files: readonly LabelledFile[];
  /** What `group` is: a package, or the file itself. */
  groupedBy: 'package' | 'file';
}

const PACKAGE_CLASSES: readonly { name: string; endings: readonly string[] }[] = [
  { name: 'declarations', endings: ['.d.ts', '.d.mts', '.d.cts'] },
  { name: 'javascript', endings: ['.js', '.mjs', '.cjs'] },
  { name: 'json', endings: ['.json'] },
  { name: 'markdown', endings: ['.md'] },
  { name: 'source maps', endings: ['.map'] },
  { name: 'native code', endings: ['.node', '.wasm', '.so', '.dll', '.dylib', '.exe'] },
];

/**
 * The files of a `node_modules` folder by kind. Minified scripts are no class of their own and are left aside. Two copies
 * of a package in different places are one group.
 *
 * @throws {DatasetError} the folder is missing or unreadable.
 */
export function packageSource(nodeModules: string): Source {
  requireFolder(nodeModules, 'the installed packages (npm install makes it)');
  const files = filesBelow(nodeModules, { followLinks: false }).flatMap((file): LabelledFile[] => {
    const className = packageClass(file);
    return className === undefined ? [] : [{ ...file, className, group: packageOf(file.name) }];
  });
  return { title: 'installed packages', classes: PACKAGE_CLASSES.map(({ name }) => name), files, groupedBy: 'package' };
}

/**
 * A folder with one sub-folder a class, whose files, however deep, belong to it. Loose files beside the sub-folders are
 * ignored.
 *
 * @throws {DatasetError} the folder is missing, no folder, empty, has one class only, or anything in it is unreadable.
 */
export function folderSource(directory: string): Source {
  requireFolder(directory, 'a folder with one sub-folder a class');
  const classes = visibleEntries(directory)
    .map(({ name }) => name)
    .filter((name) => fileStats(join(directory, name)).isDirectory())
    .sort();
  if (classes.length < 2) {
    const came = classes.length === 0 ? 'none' : `only '${classes[0]}'`;
    throw new DatasetError(`${directory}: at least two classes (sub-folders) are needed, found ${came}`);
  }
  const files = classes.flatMap((className) =>
    filesBelow(join(directory, className), { followLinks: true }).map((file) => {
      const name = `${className}/${file.name}`;
      return { ...file, name, className, group: name };
    }),
  );
  return { title: directory, classes, files, groupedBy: 'file' };
}

/** `vite/node_modules/@a/b/index.js` belongs to `@a/b`. */
export function packageOf(name: string): string {
  const parts = name.split('/');
  const start = parts.lastIndexOf('node_modules') + 1;
  return parts.slice(start, start + (parts[start]?.startsWith('@') ? 2 : 1)).join('/');
}

function packageClass(file: FoundFile): string | undefined {
  const name = file.name.toLowerCase();
  const kind = PACKAGE_CLASSES.find(({ endings }) => endings.some((ending) => name.endsWith(ending)))?.name;
  if (kind === 'javascript' && isMinified(file)) return undefined;
  if (kind === undefined && isExecutable(file)) return 'native code';
  return kind;
}

const MINIFIED_LINE = 300;

function isMinified(file: FoundFile): boolean {
  if (file.bytes < 4 * MINIFIED_LINE) return false;
  const head = readHead(file.path, 16 * 1024);
  const lines = head.reduce((count, byte) => count + (byte === 0x0a ? 1 : 0), 1);
  return head.length / lines > MINIFIED_LINE;
}

// ELF, Mach-O (64 bit, and universal) and PE. Compilers and the like come as programs without an ending.
const EXECUTABLE_STARTS = ['7f454c46', 'cffaedfe', 'cafebabe', '4d5a9000'];

function isExecutable(file: FoundFile): boolean {
  const baseName = file.name.slice(file.name.lastIndexOf('/') + 1);
  if (baseName.includes('.') || file.bytes < 64 * 1024) return false;
  return EXECUTABLE_STARTS.includes(Buffer.from(readHead(file.path, 4)).toString('hex'));
}

function requireFolder(path: string, wanted: string): void {
  if (!existsSync(path)) throw new DatasetError(`${path} does not exist; wanted: ${wanted}`);
  if (!fileStats(path).isDirectory()) throw new DatasetError(`${path} is a file; wanted: ${wanted}`);
  if (visibleEntries(path).length === 0) throw new DatasetError(`${path} is empty; wanted: ${wanted}`);
}
