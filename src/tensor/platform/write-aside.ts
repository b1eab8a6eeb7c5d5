/** Files that appear whole or not at all: written under another name, synced, renamed, and the folder synced too. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FileWriteError } from '../errors.ts';

/** The process stands in the name, so that two that write the same file do not write into one another. */
export const unfinishedName = (path: string) => `${path}.${process.pid}.unfinished`;

/** The process that wrote an unfinished file, by its name; null for any other file. */
export function writerOf(name: string): number | null {
  const [, writer] = /\.(\d+)\.unfinished$/.exec(name) ?? [];
  return writer === undefined ? null : Number(writer);
}

/** Writes a file piece by piece. @throws FileWriteError; what stood under the name still does then. */
export async function writeAside(
  path: string,
  fill: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  const unfinished = unfinishedName(path);
  try {
    const file = await open(unfinished, 'w');
    try {
      await fill(async (bytes) => file.writeFile(bytes));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
    syncFolder(dirname(path));
  } catch (error) {
    await removeQuietly(unfinished);
    if (!(error instanceof Error && 'code' in error)) throw error;
    throw new FileWriteError(`${path} cannot be written (${error.message})`, { cause: error });
  }
}

/** The same for content that is at hand. */
export function writeAsideSync(path: string, content: string | Uint8Array): void {
  const unfinished = unfinishedName(path);
  try {
    const file = openSync(unfinished, 'w');
    try {
      writeFileSync(file, content);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(unfinished, path);
  } catch (error) {
    // The error of the write is the one to report.
    try {
      rmSync(unfinished, { force: true });
    } catch {}
    throw error;
  }
  syncFolder(dirname(path));
}

async function removeQuietly(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => {});
}

/** A renamed file is lost with the power until its folder is on the disk. Where folders cannot be synced, the system does it. */
function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
