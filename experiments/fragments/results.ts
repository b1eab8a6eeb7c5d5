/** What a run of `npm start` came to: the record of each arm, and how it is told as JSON, as a table and in words. */

import { formatBytes, formatCount, formatPercent, formatSeconds } from '../../command/format.ts';
import { type Table, tableOf } from '../../command/text-table.ts';
import type { RegistryEvent } from '../../src/index.ts';
import type { Sample } from '../report/watched.ts';

export type ArmName = 'full' | 'grades';

/** What one arm has come to so far. Plain data, so that a checkpoint can hold it. */
export interface ArmRecord {
  readonly name: ArmName;
  /** Steps made; fewer than the schedule where every watched matrix was frozen. */
  steps: number;
  /** Of training, and of the evaluation at its end. */
  seconds: { train: number; evaluate: number };
  flops: number;
  peakBytes: number;
  /** On all held-out fragments, at the end. */
  accuracy: number;
  loss: number;
  losses: Sample[];
  /** Accuracy on a fixed part of the held-out fragments, on the way. */
  curve: Sample[];
  events: readonly RegistryEvent[];
  watched: { name: string; kind: string; block: number | null; samples: Sample[] }[];
  threshold: number | null;
  /** Until this step nothing may freeze. */
  graceSteps: number;
  /** What a plain stop would have reached after as many operations as GradES. */
  plainStop: { step: number; accuracy: number; loss: number; seconds: number } | null;
}

export interface Results {
  readonly device: { kind: string; adapter: string; software: boolean };
  readonly config: { readonly steps: number };
  readonly full: ArmRecord;
  readonly grades: ArmRecord;
}

/** As `summary.json` and `--json` hold them. */
export function resultsJson({ device, config, full, grades }: Results): object {
  return {
    device,
    config,
    arms: [full, grades].map(({ name, steps, seconds, flops, accuracy, loss, peakBytes, ...arm }) => ({
      ...{ name, steps, seconds, flops, accuracy, loss, peakBytes },
      frozen: freezesOf(arm),
      /** What froze with the matrices above it. */
      followed: arm.events
        .filter(({ value }) => value === null)
        .map(({ name: parameter, step }) => ({ parameter, step })),
      stoppedAt: steps < config.steps ? steps : null,
      plainStopAtEqualFlops: arm.plainStop,
      curve: arm.curve,
    })),
  };
}

/** Freezes that the rule decided on, as the files hold them. */
export function freezesOf({ events }: Pick<ArmRecord, 'events'>) {
  return events
    .filter(({ type, value }) => type === 'freeze' && value !== null)
    .map(({ name: parameter, step, value, threshold }) => ({ parameter, step, value, threshold }));
}

/** Both arms side by side, with the ratio of each pair. */
export function resultsTable({ full, grades }: Results): Table {
  const points = (100 * (grades.accuracy - full.accuracy)).toFixed(1);
  const row = (
    title: string,
    of: (arm: ArmRecord) => number,
    format: (value: number) => string,
    comparison?: string,
  ) => [title, format(of(full)), format(of(grades)), comparison ?? (of(grades) / of(full)).toFixed(2)];
  const frozen = (count: number) => `${count} of ${grades.watched.length}`;
  return tableOf(
    ['', 'full', 'GradES', 'GradES / full'],
    [
      row('accuracy on held-out files', (arm) => arm.accuracy, formatPercent, `${points} points`),
      row(
        'loss on held-out files',
        (arm) => arm.loss,
        (loss) => loss.toFixed(4),
      ),
      row('training time', (arm) => arm.seconds.train, formatSeconds),
      row('evaluation time', (arm) => arm.seconds.evaluate, formatSeconds),
      row(
        'floating-point operations',
        (arm) => arm.flops,
        (flops) => formatCount(flops, 'FLOP'),
      ),
      row('steps', (arm) => arm.steps, String),
      row('matrices frozen', (arm) => freezesOf(arm).length, frozen, ''),
      row('peak device memory', (arm) => arm.peakBytes, formatBytes),
    ],
  );
}

/** The result in words, with the comparison that tells whether freezing did more than stopping early. */
export function resultsInWords({ full: { plainStop }, grades }: Results): string {
  const [frozen, matrices] = [freezesOf(grades).length, grades.watched.length];
  const end =
    frozen === matrices
      ? `GradES froze all ${matrices} matrices and ended at step ${grades.steps}`
      : `GradES froze ${frozen} of ${matrices} matrices by the end of the schedule`;
  if (!plainStop) return `${end}.`;
  return (
    `${end}, with an accuracy of ${formatPercent(grades.accuracy)}. Simply stopping the full run at the same number of ` +
    `operations, at step ${plainStop.step}, would have reached ${formatPercent(plainStop.accuracy)} ` +
    `(loss ${plainStop.loss.toFixed(4)}). One seed; the spread between seeds is larger than small differences.`
  );
}
