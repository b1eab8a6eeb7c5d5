import { closeSync, existsSync, mkdirSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** The run's folder or a file in it cannot be written. The message names it. */
export class RunFolderError extends Error {
  override readonly name = 'RunFolderError';
}

export interface Freeze {
  parameter: string;
  step: number;
  /** The watched quantity at the freeze, and what it had to fall below. */
  value: number;
  threshold: number;
}

const LOG = 'log.jsonl';

/**
 * What a run leaves behind: `config.json`, `log.jsonl` (one JSON value a line), `freezes.json`, `summary.json` and pictures.
 *
 * Every call has written when it returns, so a run that is interrupted or crashes can be read up to its last line.
 */
export class RunFolder {
  readonly path: string;
  readonly #log: number;
  #closed = false;
  readonly #freezes: (Freeze & { arm: string })[] = [];

  /**
   * Makes the folder, parents included.
   *
   * @throws {RunFolderError} it cannot be made, or holds a run already.
   */
  constructor(path: string, config: object) {
    this.path = path;
    writing(path, () => mkdirSync(path, { recursive: true }));
    const log = join(path, LOG);
    if (existsSync(log)) {
      throw new RunFolderError(`${path} holds a run already (${LOG}); a new or empty folder is needed`);
    }
    this.#log = writing(log, () => openSync(log, 'a'));
    this.write('config.json', toJson(config));
    this.#writeFreezes();
  }

  /** Adds a line to `log.jsonl`. */
  log(record: object): void {
    writing(join(this.path, LOG), () => writeSync(this.#log, `${JSON.stringify(record)}\n`));
  }

  /** Adds a freeze to `freezes.json` and to the log. */
  freeze(arm: string, freeze: Freeze): void {
    this.#freezes.push({ arm, ...freeze });
    this.#writeFreezes();
    this.log({ event: 'freeze', arm, ...freeze });
  }

  summary(summary: object): void {
    this.write('summary.json', toJson(summary));
  }

  /** Writes a whole file, a picture say, and returns its path. A file of that name is replaced at once, never left half. */
  write(name: string, content: string): string {
    const path = join(this.path, name);
    const unfinished = `${path}.unfinished`;
    writing(path, () => {
      writeFileSync(unfinished, content);
      renameSync(unfinished, path);
    });
    return path;
  }

  /** Closes the log; nothing more can be logged. May be called again. */
  close(): void {
    if (!this.#closed) closeSync(this.#log);
    this.#closed = true;
  }

  #writeFreezes(): void {
    this.write('freezes.json', toJson(this.#freezes));
  }
}

function toJson(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function writing<T>(path: string, write: () => T): T {
  try {
    return write();
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? cause.code : cause;
    throw new RunFolderError(`cannot write ${path} (${reason})`, { cause });
  }
}
