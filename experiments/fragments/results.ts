import type { Device } from '../../src/index.ts';
import { formatBytes, formatCount, formatPercent, formatSeconds } from './format.ts';
import { MATRIX_KINDS, type ReportData, type WatchedMatrix } from './report.ts';
import type { Table } from './table.ts';
import type { Arm } from './train.ts';

/** The results as the JSON file holds them. */
export function resultsJson(device: Device, config: { steps: number }, arms: readonly Arm[]): object {
  return {
    device: { kind: device.kind, adapter: device.adapter, software: device.software },
    config,
    arms: arms.map(({ name, steps, seconds, flops, accuracy, loss, peakBytes, events, plainStop, interrupted }) => ({
      name,
      steps,
      seconds,
      flops,
      accuracy,
      loss,
      peakBytes,
      frozen: events
        .filter(({ type, value }) => type === 'freeze' && value !== null)
        .map(({ name: parameter, step, value, threshold }) => ({ parameter, step, value, threshold })),
      /** What froze with the matrices above it. */
      followed: events.filter(({ value }) => value === null).map(({ name: parameter, step }) => ({ parameter, step })),
      stoppedAt: steps < config.steps ? steps : null,
      interrupted,
      plainStopAtEqualFlops: plainStop,
    })),
  };
}

/** Both arms side by side, with the ratio of each pair. */
export function resultsTable(full: Arm, grades: Arm): Table {
  const ratio = (of: (arm: Arm) => number) => (of(grades) / of(full)).toFixed(2);
  const points = (100 * (grades.accuracy - full.accuracy)).toFixed(1);
  const row = (title: string, of: (arm: Arm) => string, comparison: string) => [
    title,
    of(full),
    of(grades),
    comparison,
  ];
  return {
    columns: [{ title: '' }, { title: 'full' }, { title: 'GradES' }, { title: 'GradES / full' }],
    rows: [
      row('accuracy on held-out files', (arm) => formatPercent(arm.accuracy), `${points} points`),
      row(
        'loss on held-out files',
        (arm) => arm.loss.toFixed(4),
        ratio((arm) => arm.loss),
      ),
      row(
        'training time',
        (arm) => formatSeconds(arm.seconds.train),
        ratio((arm) => arm.seconds.train),
      ),
      row(
        'evaluation time',
        (arm) => formatSeconds(arm.seconds.evaluate),
        ratio((arm) => arm.seconds.evaluate),
      ),
      row(
        'floating-point operations',
        (arm) => formatCount(arm.flops, 'FLOP'),
        ratio((arm) => arm.flops),
      ),
      row(
        'steps',
        (arm) => `${arm.steps}`,
        ratio((arm) => arm.steps),
      ),
      row('matrices frozen', (arm) => `${arm.frozenCount} of ${grades.watched.length}`, ''),
      row(
        'peak device memory',
        (arm) => formatBytes(arm.peakBytes),
        ratio((arm) => arm.peakBytes),
      ),
    ],
  };
}

/** What the pictures are drawn from. */
export function reportData(full: Arm, grades: Arm, run: { steps: number; summary: string }): ReportData {
  const matrices = grades.watched.flatMap(({ name, kind, block, samples }): WatchedMatrix[] => {
    const drawn = MATRIX_KINDS.find((each) => each === kind);
    if (drawn === undefined || block === null || grades.threshold === null) return [];
    const event = grades.events.find((each) => each.type === 'freeze' && each.name === name);
    const frozen = event && event.value !== null ? { step: event.step, value: event.value } : undefined;
    return [{ name: name.replace(/\.weight$/, ''), block, kind: drawn, samples, threshold: grades.threshold, frozen }];
  });
  return {
    title: 'File fragments: which matrices converged, and when',
    summary: run.summary,
    quantity: 'Split-half signal ρ, relative to its own peak',
    totalSteps: run.steps,
    endedAt: grades.steps < run.steps ? grades.steps : undefined,
    graceSteps: grades.graceSteps,
    matrices,
    arms: [full, grades].map(({ name, losses, steps, plainStop, accuracy }) => ({
      name,
      loss: losses,
      accuracy: [
        ...(plainStop ? [{ step: plainStop.step, value: plainStop.accuracy }] : []),
        { step: steps, value: accuracy },
      ],
      stoppedAt: steps < run.steps ? steps : undefined,
    })),
    table: resultsTable(full, grades),
  };
}
