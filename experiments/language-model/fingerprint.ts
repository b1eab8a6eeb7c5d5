/** What tells whether a run that goes on has the model and the data that it began with. */

import { createHash } from 'node:crypto';
import { createReadStream, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { splitFiles } from './samples.ts';

export function fingerprintOfModel(folder: string): Promise<string> {
  return fingerprint(folder, (name) => name === 'config.json' || name.endsWith('.safetensors'));
}

export function fingerprintOfData(folder: string): Promise<string> {
  return fingerprint(folder, (name) => Object.values(splitFiles).some((each) => each === name));
}

/** Of the files of a folder that are chosen by their names. */
async function fingerprint(folder: string, isChosen: (name: string) => boolean): Promise<string> {
  const hash = createHash('sha256');
  for (const name of readdirSync(folder).filter(isChosen).sort()) {
    hash.update(name);
    for await (const chunk of createReadStream(join(folder, name))) hash.update(chunk);
  }
  return hash.digest('hex').slice(0, 32);
}
