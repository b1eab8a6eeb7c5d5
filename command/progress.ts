/** How far a command is, in a terminal or in a pipe. */

import { formatClock } from './format.ts';

export interface ProgressStream {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

/** Something shown behind the bar. Where the line is too long the least important goes first. */
export interface Figure {
  readonly text: string;
  readonly importance: number;
}

export interface ProgressOptions {
  /** Stands before the bar. */
  readonly label: string;
  /** What `done` counts up to. */
  readonly total: number;
  /** What was done before, in a run that goes on. */
  readonly doneBefore?: number;
  readonly stream?: ProgressStream;
  /** A clock in milliseconds. */
  readonly now?: () => number;
}

const redrawMilliseconds = 100;
const lineMilliseconds = 2000;
const lineShare = 0.1;
const widestBar = 30;
const narrowestBar = 8;
const eraseLine = '\r\u001b[2K';

/**
 * On a terminal one line that rewrites itself; elsewhere a plain line at the first update and then one at most every tenth
 * of the way and every two seconds.
 */
export class Progress {
  readonly #label: string;
  readonly #total: number;
  readonly #doneBefore: number;
  readonly #stream: ProgressStream;
  readonly #now: () => number;
  readonly #started: number;
  #last: { done: number; figures: readonly Figure[] } | null = null;
  #shownAt = -Infinity;
  #shownDone = -Infinity;
  #isOnScreen = false;
  #hasEnded = false;

  constructor({ label, total, doneBefore, stream, now }: ProgressOptions) {
    this.#label = label;
    this.#total = total;
    this.#doneBefore = doneBefore ?? 0;
    this.#stream = stream ?? process.stdout;
    this.#now = now ?? (() => performance.now());
    this.#started = this.#now();
  }

  /** @param figures in the order in which they are shown; the time left follows them. */
  update(done: number, figures: readonly Figure[]): void {
    this.#last = { done, figures };
    if (!this.#hasEnded && this.#isDue(done)) this.#show();
  }

  /** Prints a line that stays, above the bar. */
  line(text: string): void {
    if (this.#isOnScreen) this.#stream.write(eraseLine);
    this.#isOnScreen = false;
    this.#stream.write(`${text}\n`);
    if (this.#stream.isTTY && !this.#hasEnded) this.#show();
  }

  /** Leaves the last state as a finished line. May be called again, and after Ctrl-C. */
  end(): void {
    if (this.#hasEnded) return;
    if (this.#last && this.#shownDone !== this.#last.done) this.#show();
    this.#hasEnded = true;
    if (this.#isOnScreen) this.#stream.write('\n');
    this.#isOnScreen = false;
  }

  #isDue(done: number): boolean {
    const waited = this.#now() - this.#shownAt;
    if (this.#stream.isTTY) return waited >= redrawMilliseconds;
    return waited >= lineMilliseconds && done - this.#shownDone >= this.#total * lineShare;
  }

  #show(): void {
    if (!this.#last) return;
    const { done } = this.#last;
    const figures = [...this.#last.figures, { text: `${this.#timeLeft(done)} left`, importance: 3 }];
    this.#shownAt = this.#now();
    this.#shownDone = done;
    this.#isOnScreen = this.#stream.isTTY === true;
    if (this.#isOnScreen) {
      // Writing into the last column makes some terminals wrap.
      this.#stream.write(eraseLine + this.#fitted(done, figures, (this.#stream.columns || 80) - 1));
    } else {
      this.#stream.write(`${[this.#label, ...figures.map(({ text }) => text)].join('  ')}\n`);
    }
  }

  #timeLeft(done: number): string {
    if (done <= this.#doneBefore) return '–';
    const each = (this.#now() - this.#started) / (done - this.#doneBefore);
    return formatClock((each * (this.#total - done)) / 1000);
  }

  // The least important figures go first, then the bar, until the line fits.
  #fitted(done: number, figures: Figure[], width: number): string {
    for (;;) {
      const texts = figures.map(({ text }) => text);
      const room = width - [this.#label, ...texts].join('  ').length - 2;
      if (room >= narrowestBar) {
        return [this.#label, bar(done / this.#total, Math.min(room, widestBar)), ...texts].join('  ');
      }
      const least = figures.reduce((a, b) => (b.importance < a.importance ? b : a));
      if (figures.length > 2) figures.splice(figures.indexOf(least), 1);
      else return [this.#label, ...texts].join('  ').slice(0, Math.max(0, width));
    }
  }
}

function bar(share: number, width: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * width);
  return '█'.repeat(filled) + '░'.repeat(width - filled);
}
