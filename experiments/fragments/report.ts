/** Pictures of a run, drawn from plain data. */
export {
  type ArmCurves,
  MATRIX_KINDS,
  type MatrixKind,
  type ReportData,
  type Sample,
  type SignalData,
  type WatchedMatrix,
} from './report/data.ts';
export { reportPage } from './report/page.ts';
export { drawSignals } from './report/signals.ts';
