/** What the comparison and the ablation have in common: units that workers do, shown on the way and kept in the folder of the run. */

import { availableParallelism } from 'node:os';
import { CommandError } from '../../command/error.ts';
import { formatSeconds } from '../../command/format.ts';
import { Interrupted, listenForInterrupt } from '../../command/interrupt.ts';
import { Progress } from '../../command/progress.ts';
import { RunFolderError } from '../../command/run-folder.ts';
import type { Device } from '../../src/index.ts';
import { counted } from '../report/numbers.ts';
import { type Bases, basesBeside, loadBase, pretrainingSteps } from './bases.ts';
import type { ArmResult } from './results.ts';
import type { UnitStore } from './store.ts';
import { loadTask } from './tasks.ts';
import { expectedSteps, type Unit, unitInWords, unitKey } from './units.ts';
import { performUnits } from './workers.ts';

interface WorkOptions {
  command: 'compare' | 'ablate';
  device: Device;
  store: UnitStore<Unit, ArmResult>;
  /** Steps of a smoke run, whose bases are trained for less; null otherwise. */
  smokeSteps: number | null;
  /** Where the units of other runs are only put together, a unit that is missing is an error. */
  onlyMerges?: boolean;
}

export class Work {
  readonly #options: WorkOptions;
  readonly #bases: Bases;
  readonly #interrupt = listenForInterrupt();

  constructor(options: WorkOptions) {
    const { store, smokeSteps } = options;
    this.#options = options;
    this.#bases = {
      folder: basesBeside(store.folder.path),
      steps: smokeSteps === null ? pretrainingSteps : Math.min(pretrainingSteps, 5 * smokeSteps),
    };
  }

  /** Does a command's work to its end. Where that is an early one, it is said how to go on. */
  async toItsEnd(work: () => Promise<void>): Promise<void> {
    try {
      await this.#options.store.folder.sayingHow(this.#goOn, work);
    } finally {
      this.#interrupt.release();
    }
  }

  /** Pretrains the bases here, so that workers find them. */
  async pretrain(tasks: readonly string[]): Promise<void> {
    for (const base of new Set(tasks.map((task) => loadTask(task).base))) {
      await loadBase(base, this.#options.device, this.#bases, (message) => {
        console.log(`  ${message}`);
        this.#stopIfInterrupted();
      });
    }
  }

  /**
   * Results of all units in their order, those that were done before included.
   *
   * @param workers processes that train side by side: null for one a core on the cpu, one on webgpu.
   * @throws Interrupted, and CommandError where units failed; what is done is kept.
   */
  async perform(label: string, units: readonly Unit[], workers: number | null): Promise<ArmResult[]> {
    const { device, store } = this.#options;
    const sideBySide = workers ?? (device.kind === 'cpu' ? availableParallelism() : 1);
    const results = new Map<Unit, readonly ArmResult[]>();
    for (const unit of units) {
      const known = store.load(unit);
      if (!known) continue;
      results.set(unit, known);
      store.removeCheckpoint(unit);
    }
    const open = units.filter((unit) => !results.has(unit));
    if (open.length === 0) return units.flatMap((unit) => results.get(unit) ?? []);
    if (this.#options.onlyMerges) {
      throw new RunFolderError(
        `the folders to merge lack ${counted(open.length, 'unit')}, such as ${unitKey(open[0])}`,
      );
    }
    const started = performance.now();
    const underWay = new Map<Unit, number>();
    const progress = new Progress({ label, total: open.reduce((sum, unit) => sum + expectedSteps(unit), 0) });
    let finished = 0;
    const show = () => {
      const parts = [...underWay].map(([unit, steps]) => ({ unit, share: Math.min(1, steps / expectedSteps(unit)) }));
      progress.update(finished + parts.reduce((sum, { unit, share }) => sum + share * expectedSteps(unit), 0), [
        { text: `${results.size}/${units.length}`, importance: 9 },
        ...parts.map(({ unit, share }, i) => ({
          text: `${unitInWords(unit)} ${Math.floor(100 * share)} %`,
          importance: 2 - i,
        })),
      ]);
    };
    const failures = await performUnits(open, {
      ...{ deviceKind: device.kind, bases: this.#bases, workers: sideBySide, signal: this.#interrupt.signal },
      checkpointOf: (unit) => store.checkpointOf(unit),
      onSteps: (unit, steps) => {
        underWay.set(unit, (underWay.get(unit) ?? 0) + steps);
        show();
      },
      onDone: (unit, ofUnit) => {
        store.save(unit, ofUnit);
        results.set(unit, ofUnit);
        underWay.delete(unit);
        finished += expectedSteps(unit);
        show();
      },
    }).finally(() => progress.end());
    this.#stopIfInterrupted();
    if (failures.length > 0) {
      const reasons = failures.map(({ unit, reason }) => `${unitKey(unit)}: ${reason}`).join('\n');
      const kept = `what is done is kept in ${store.folder.path}, --resume tries again`;
      throw new CommandError(`${counted(failures.length, 'unit')} failed; ${kept}\n${reasons}`);
    }
    const seconds = (performance.now() - started) / 1000;
    console.log(`${label}: ${counted(open.length, 'unit')} in ${formatSeconds(seconds)}`);
    return units.flatMap((unit) => results.get(unit) ?? []);
  }

  get #goOn(): string {
    const { command, store, onlyMerges } = this.#options;
    if (onlyMerges) return 'Give the same command again';
    return `Go on with: npm run ${command} -- --out ${store.folder.path} --resume (and the same options)`;
  }

  #stopIfInterrupted(): void {
    if (this.#interrupt.signal.aborted) throw new Interrupted(this.#goOn);
  }
}
