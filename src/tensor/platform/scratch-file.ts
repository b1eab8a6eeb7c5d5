/** Scratch files in Node. */
import { readSync } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ScratchFile } from './interface.ts';

/** The file's name is gone as soon as it is open, so that not even a kill leaves it there. */
export async function scratchFile(folder: string): Promise<ScratchFile> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, `scratch-${process.pid}-${Math.random().toString(36).slice(2)}`);
  const file = await open(path, 'wx+', 0o600);
  // Some systems remove no file that is open.
  const isGone = await rm(path).then(
    () => true,
    () => false,
  );
  return {
    async write(bytes, position) {
      for (let done = 0; done < bytes.byteLength; ) {
        const { bytesWritten } = await file.write(bytes, done, bytes.byteLength - done, position + done);
        done += some(bytesWritten);
      }
    },
    async read(position, length) {
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        const { bytesRead } = await file.read(bytes, done, length - done, position + done);
        done += some(bytesRead);
      }
      return bytes;
    },
    readNow(position, length) {
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        done += some(readSync(file.fd, bytes, done, length - done, position + done));
      }
      return bytes;
    },
    async close() {
      await file.close();
      if (!isGone) await rm(path, { force: true });
    },
  };
}

function some(count: number): number {
  if (count > 0) return count;
  throw new Error('it was cut short');
}
