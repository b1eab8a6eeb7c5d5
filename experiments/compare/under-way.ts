/** What a unit has come to on its way, in a file: killed, it goes on from there, and ends bit for bit the same. */

import { type Saved, writeCheckpoint } from '../../src/index.ts';
import { savedObject } from '../../src/nn/saved.ts';
import { readIfWhole } from './bases.ts';
import type { ArmResult } from './results.ts';
import type { Run } from './run.ts';

/** Steps after which a unit is kept, whichever of its arms they are of; in short schedules a tenth of one. */
export const mostStepsLost = 200;

export class UnderWay {
  /** What its arms came to, by name. */
  readonly done = new Map<string, ArmResult>();
  readonly #file: { path: string; unit: string } | null;
  /** The training that was under way when it was read. */
  #training: { arm: string; saved: Saved } | null = null;
  #steps = 0;

  private constructor(file: { path: string; unit: string } | null) {
    this.#file = file;
  }

  /** Of a unit that is kept nowhere on its way. */
  static unkept(): UnderWay {
    return new UnderWay(null);
  }

  /** Goes on from the file where it is whole and of this unit. */
  static async open(path: string, unit: object): Promise<UnderWay> {
    const opened = new UnderWay({ path, unit: JSON.stringify(unit) });
    const saved = await readIfWhole(path);
    if (saved === null) return opened;
    const { unit: ofUnit, done, arm, training } = savedObject(path, saved);
    if (ofUnit !== JSON.stringify(unit)) return opened;
    for (const result of JSON.parse(String(done))) opened.done.set(result.arm, result);
    opened.#training = { arm: String(arm), saved: training };
    return opened;
  }

  /** Brings a training to where it was, if it is the one that was under way. */
  async goOn(arm: string, { training }: Run): Promise<void> {
    if (this.#training?.arm === arm) await training.restore(this.#training.saved);
    this.#training = null;
  }

  /** @throws FileWriteError */
  async afterStep(arm: string, run: Run): Promise<void> {
    this.#steps++;
    const every = Math.min(mostStepsLost, Math.ceil(run.source.steps / 10));
    if (this.#file === null || this.#steps % every !== 0) return;
    const { path, unit } = this.#file;
    await run.settle();
    const done = JSON.stringify([...this.done.values()]);
    await writeCheckpoint(path, { unit, done, arm, training: await run.training.save() });
  }
}
