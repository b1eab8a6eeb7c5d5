/** What the page of a run of `npm start` is drawn from. */

import type { Table } from '../../../command/text-table.ts';
import type { Sample, WatchedMatrix } from '../../report/watched.ts';

export interface ArmCurves {
  /** `full` or `grades`. */
  name: string;
  loss: readonly Sample[];
  /** Accuracy on held-out fragments, from 0 to 1, wherever it was measured, at the end too. */
  accuracy: readonly Sample[];
  /** Accuracy where the arm has used the operations of GradES: a plain stop there. */
  plainStop?: Sample;
  /** The last step, where training ended before the schedule did. */
  stoppedAt?: number;
}

export interface ReportData {
  title: string;
  /** The result in one or two sentences, and the final table. */
  summary: string;
  table: Table;
  /** What the samples measure, in words. */
  quantity: string;
  /** The schedule's length in steps. */
  totalSteps: number;
  /** The last step of the run the matrices are from, where it ended before the schedule did. */
  endedAt?: number;
  /** Until this step nothing may freeze. */
  graceSteps?: number;
  matrices: readonly WatchedMatrix[];
  arms: readonly ArmCurves[];
}
