import { formatClock } from '../fragments/format.ts';
import type { ProgressStream } from '../fragments/progress.ts';
import { expectedSteps, type Unit, unitKey } from './units.ts';

const eraseLine = '\r\u001b[2K';
const barWidth = 24;

/**
 * How far a phase is: the whole by expected training steps, and each unit under way. On a terminal one line that
 * rewrites itself; elsewhere a plain line whenever a unit is done.
 */
export class WholeProgress {
  readonly #label: string;
  readonly #stream: ProgressStream;
  readonly #total: number;
  readonly #count: number;
  readonly #started = performance.now();
  readonly #underWay = new Map<Unit, number>();
  #doneSteps = 0;
  #doneUnits = 0;

  constructor(label: string, units: readonly Unit[], stream: ProgressStream) {
    this.#label = label;
    this.#stream = stream;
    this.#total = units.reduce((sum, unit) => sum + expectedSteps(unit), 0);
    this.#count = units.length;
  }

  start(unit: Unit): void {
    this.#underWay.set(unit, 0);
  }

  advance(unit: Unit, steps: number): void {
    this.#underWay.set(unit, (this.#underWay.get(unit) ?? 0) + steps);
    if (this.#stream.isTTY) this.#draw();
  }

  finish(unit: Unit): void {
    this.#underWay.delete(unit);
    this.#doneSteps += expectedSteps(unit);
    this.#doneUnits++;
    if (this.#stream.isTTY) this.#draw();
    else this.#stream.write(`${this.#whole()}  ${unitKey(unit)} done\n`);
  }

  end(): void {
    if (this.#stream.isTTY) this.#stream.write(eraseLine);
  }

  #share(): number {
    let steps = this.#doneSteps;
    for (const [unit, done] of this.#underWay) steps += Math.min(done, expectedSteps(unit));
    return this.#total === 0 ? 1 : steps / this.#total;
  }

  #whole(): string {
    const share = this.#share();
    const left = share > 0 ? ((performance.now() - this.#started) / 1000) * (1 / share - 1) : 0;
    return `${this.#label}  ${this.#doneUnits}/${this.#count}  ${Math.floor(100 * share)} %  ${formatClock(left)} left`;
  }

  #draw(): void {
    const filled = Math.round(this.#share() * barWidth);
    const parts = [...this.#underWay].map(([unit, done]) => {
      const share = Math.min(99, Math.floor((100 * done) / expectedSteps(unit)));
      return `${unit.phase === 'timing' ? unit.arm : unit.task} seed ${unit.seed} ${share} %`;
    });
    const bar = `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}`;
    const line = [`${bar}  ${this.#whole()}`, ...parts].join('  |  ');
    this.#stream.write(eraseLine + line.slice(0, (this.#stream.columns || 80) - 1));
  }
}
