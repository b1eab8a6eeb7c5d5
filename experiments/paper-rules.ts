/** The rules of the paper as arms, and how their thresholds are calibrated. */

import { type Optimizer, PaperVersion1, PaperVersion3, type ParameterRegistry, ReleasedCode } from '../src/index.ts';
import { quantile } from './compare/bootstrap.ts';
import { calibration, paperGrace } from './compare/protocol.ts';

/** Each with what it does, in the words of the tables. */
export const paperRules = {
  'paper-v1': { Rule: PaperVersion1, about: 'version 1 of the paper: the magnitude of the gradient below τ' },
  'paper-v3': { Rule: PaperVersion3, about: 'version 3 of the paper: the change of the gradient below τ' },
  'released-code': { Rule: ReleasedCode, about: 'the code of the paper: the change of the weights below τ' },
};

export type PaperArm = keyof typeof paperRules;

export const paperArms: readonly PaperArm[] = ['paper-v1', 'paper-v3', 'released-code'];

interface Context {
  registry: ParameterRegistry;
  optimizer: Optimizer;
  steps: number;
}

/** @param threshold τ, which has to be calibrated: that of the paper cannot be carried over. */
export function paperPolicy(arm: PaperArm, { registry, optimizer, steps }: Context, threshold: number) {
  return new paperRules[arm].Rule(registry, optimizer, { steps, threshold, grace: paperGrace, freezeLeftovers: true });
}

/** The step of a calibration at which thresholds are read. */
export function calibrationStep(steps: number): number {
  return Math.round(calibration.share * steps);
}

/**
 * The rules with a threshold that nothing falls below, for a calibration.
 *
 * @param onThreshold told τ of each: the median of the watched matrices at the step of the calibration.
 */
export function watchingRules(context: Context, onThreshold: (arm: PaperArm, threshold: number) => void) {
  return paperArms.map((arm) => {
    const rule = paperPolicy(arm, context, Number.MIN_VALUE);
    rule.onCheck(({ step, values }) => {
      if (step !== calibrationStep(context.steps)) return;
      onThreshold(arm, quantile(Float64Array.from(values.values()).sort(), 0.5));
    });
    return rule;
  });
}
