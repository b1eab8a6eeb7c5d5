/** From the settings of a rule to the policy that carries it out, and the newest values of what it watches. */
import {
  fromBelow as blocksFromBelow,
  type Check,
  FreezeList,
  freezeLeftovers,
  GradES,
  gradientChange,
  gradientMagnitude,
  type Optimizer,
  PaperVersion1,
  PaperVersion3,
  type ParameterRegistry,
  type Policy,
  type RegistryEntry,
  ReleasedCode,
  splitHalf,
  weightChange,
} from '../src/index.ts';
import type { MatrixState, RuleSettings, Watching } from './protocol.ts';

export interface Rule {
  policy: Policy;
  watching: Watching;
  /** Absent where nothing is watched. */
  onCheck?(listener: (check: Check) => void): () => void;
}

/** Blocks lose their norms with their last matrix, and the embeddings go with the first block, whoever froze the matrices. */
export function makeRule(
  settings: RuleSettings,
  registry: ParameterRegistry,
  matrices: readonly RegistryEntry[],
  optimizer: Optimizer,
  steps: number,
): Rule {
  const { rule, threshold, grace, patience } = settings;
  const graceSteps = Math.ceil(grace * steps);
  const watching = { settings, unit: 'sum', graceSteps, patienceSteps: 0 } as const;
  const options = { steps, threshold, grace, freezeLeftovers: true };
  const watched = (policy: Policy & Pick<GradES, 'onCheck'>, signal: { name: string }): Rule => ({
    policy,
    watching: { ...watching, signal: signal.name },
    onCheck: (listener) => policy.onCheck(listener),
  });
  switch (rule) {
    case 'grades-below':
    case 'grades': {
      const fromBelow = rule === 'grades-below';
      const made = watched(new GradES(registry, optimizer, { ...options, patience, fromBelow }), splitHalf);
      return { ...made, watching: { ...made.watching, unit: 'share', patienceSteps: Math.ceil(patience * steps) } };
    }
    case 'paper-1':
      return watched(new PaperVersion1(registry, optimizer, options), gradientMagnitude);
    case 'paper-3':
      return watched(new PaperVersion3(registry, optimizer, options), gradientChange);
    case 'released-code':
      return watched(new ReleasedCode(registry, optimizer, options), weightChange);
    case 'from-below': {
      const list = blocksFromBelow(registry, { from: graceSteps, to: Math.round((graceSteps + steps) / 2) });
      const policy = new FreezeList(registry, { list, freezeLeftovers: true });
      return { policy, watching: { ...watching, unit: 'none', signal: null } };
    }
    case 'none':
      return {
        policy: { afterStep: (step) => freezeLeftovers(registry, matrices, step) },
        watching: { ...watching, unit: 'none', signal: null },
      };
  }
}

/** What is known of the signal of one matrix. */
export type Signal = Pick<MatrixState, 'signal' | 'peak' | 'peakStep'>;

const unknown: Signal = { signal: null, peak: null, peakStep: null };

/** What the checks of a rule came to, matrix by matrix. */
export class Signals {
  readonly #known: Map<string, Signal>;

  constructor(known: ReadonlyMap<string, Signal> = new Map()) {
    this.#known = new Map(known);
  }

  take({ step, values }: Check, unit: Watching['unit']): void {
    for (const [name, signal] of values) {
      const before = this.of(name);
      // A share is 1 whenever there is a new peak.
      const isPeak = unit === 'share' ? signal >= 1 : signal > (before.peak ?? Number.NEGATIVE_INFINITY);
      this.#known.set(name, isPeak ? { signal, peak: signal, peakStep: step } : { ...before, signal });
    }
  }

  of(name: string): Signal {
    return this.#known.get(name) ?? unknown;
  }

  state(): ReadonlyMap<string, Signal> {
    return new Map(this.#known);
  }
}
