import { formatClock, formatCount } from './format.ts';

export interface ProgressStream {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

export interface ProgressOptions {
  /** Stands before the bar: which arm this is. */
  label: string;
  /** Steps in all. */
  total: number;
  tokensPerStep: number;
  /** Matrices that can freeze. */
  watched: number;
  stream: ProgressStream;
  /** A clock in milliseconds. */
  now?: () => number;
}

export interface StepReport {
  /** Steps done. */
  step: number;
  /** The last loss read back; undefined before the first. */
  loss?: number;
  /** Time this step took, in milliseconds, evaluation not counted. */
  milliseconds: number;
  frozen: number;
}

const REDRAW_MILLISECONDS = 100;
const LINE_MILLISECONDS = 2000;
const LINE_SHARE = 0.1;
const WIDEST_BAR = 30;
const NARROWEST_BAR = 8;
const ERASE_LINE = '\r\u001b[2K';

/**
 * How far training is. On a terminal one line that rewrites itself; elsewhere a plain line at the first step and then one
 * at most every tenth of the way and every two seconds.
 */
export class Progress {
  readonly #options: ProgressOptions;
  readonly #now: () => number;
  readonly #terminal: boolean;
  readonly #started: number;
  readonly #stepTime = new RunningMean();
  #report: StepReport | undefined;
  #shownAt = -Infinity;
  #shownStep = -Infinity;
  #onScreen = false;
  #ended = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#terminal = options.stream.isTTY === true;
    this.#started = this.#now();
  }

  update(report: StepReport): void {
    this.#report = report;
    this.#stepTime.add(report.milliseconds);
    if (!this.#ended && this.#isDue(report.step)) this.#show(report);
  }

  /** Prints a line that stays, above the bar. */
  line(text: string): void {
    if (this.#onScreen) this.#options.stream.write(ERASE_LINE);
    this.#onScreen = false;
    this.#options.stream.write(`${text}\n`);
    if (this.#terminal && !this.#ended && this.#report !== undefined) this.#show(this.#report);
  }

  /** Leaves the last state as a finished line. May be called again, and from a Ctrl-C handler. */
  end(): void {
    if (this.#ended) return;
    if (this.#report !== undefined && this.#shownStep !== this.#report.step) this.#show(this.#report);
    this.#ended = true;
    if (this.#onScreen) this.#options.stream.write('\n');
    this.#onScreen = false;
  }

  #isDue(step: number): boolean {
    const waited = this.#now() - this.#shownAt;
    if (this.#terminal) return waited >= REDRAW_MILLISECONDS;
    return waited >= LINE_MILLISECONDS && step - this.#shownStep >= this.#options.total * LINE_SHARE;
  }

  #show(report: StepReport): void {
    this.#shownAt = this.#now();
    this.#shownStep = report.step;
    const { stream } = this.#options;
    if (this.#terminal) {
      // Writing into the last column makes some terminals wrap.
      stream.write(ERASE_LINE + this.#fitted(report, (stream.columns || 80) - 1));
      this.#onScreen = true;
    } else {
      stream.write(`${[this.#options.label, ...this.#figures(report).map(({ text }) => text)].join('  ')}\n`);
    }
  }

  // The least important figures go first, then the bar, until the line fits.
  #fitted(report: StepReport, width: number): string {
    const { label, total } = this.#options;
    const figures = this.#figures(report);
    for (;;) {
      const texts = figures.map(({ text }) => text);
      const room = width - [label, ...texts].join('  ').length - 2;
      if (room >= NARROWEST_BAR) {
        return [label, bar(report.step / total, Math.min(room, WIDEST_BAR)), ...texts].join('  ');
      }
      const least = figures.reduce((a, b) => (b.importance < a.importance ? b : a));
      if (figures.length > 2) figures.splice(figures.indexOf(least), 1);
      else return [label, ...texts].join('  ').slice(0, Math.max(0, width));
    }
  }

  #figures({ step, loss, frozen }: StepReport): { text: string; importance: number }[] {
    const { total, tokensPerStep, watched } = this.#options;
    const milliseconds = this.#stepTime.mean;
    const remaining = (((this.#now() - this.#started) / Math.max(1, step)) * (total - step)) / 1000;
    return [
      { text: `${step}/${total}`, importance: 6 },
      { text: `loss ${loss === undefined ? '–' : loss.toFixed(4)}`, importance: 5 },
      { text: `${formatCount((tokensPerStep * 1000) / milliseconds).replace(' ', '')} tokens/s`, importance: 1 },
      { text: `${milliseconds.toFixed(1)} ms/step`, importance: 2 },
      { text: `${frozen}/${watched} frozen`, importance: 4 },
      { text: `${formatClock(remaining)} left`, importance: 3 },
    ];
  }
}

/** Mean that follows the last fifty or so values. */
class RunningMean {
  #sum = 0;
  #weight = 0;

  add(value: number): void {
    this.#sum = 0.98 * this.#sum + 0.02 * value;
    this.#weight = 0.98 * this.#weight + 0.02;
  }

  get mean(): number {
    return this.#sum / this.#weight;
  }
}

function bar(share: number, width: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * width);
  return '█'.repeat(filled) + '░'.repeat(width - filled);
}
