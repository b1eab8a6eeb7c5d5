/** What a rule saw of the matrices during a training, and what froze, in the form that pictures draw. */

import type { Check, ParameterRegistry, Policy, RegistryEntry } from '../src/index.ts';
import type { WatchedRun } from './report/watched.ts';

/** A policy whose checks can be listened to. */
interface Watching extends Policy {
  readonly watched: readonly RegistryEntry[];
  readonly threshold: number;
  onCheck(listener: (check: Check) => void): unknown;
}

const samplesShown = 60;

export class WatchRecord {
  /** Of the first policy that tells its checks; plain data, so that a checkpoint can hold it. */
  checks: [step: number, values: [name: string, value: number][]][] = [];
  readonly rule: Watching | undefined;
  readonly #registry: ParameterRegistry;

  constructor(registry: ParameterRegistry, policies: readonly Policy[]) {
    this.#registry = registry;
    this.rule = policies.find(isWatching);
    this.rule?.onCheck(({ step, values }) => this.checks.push([step, [...values]]));
  }

  get watched(): Pick<WatchedRun, 'freezes' | 'signals' | 'threshold'> {
    const every = Math.max(1, Math.ceil(this.checks.length / samplesShown));
    const shown = this.checks.filter((_, i) => i % every === 0);
    return {
      freezes: this.#registry.events
        .filter(({ type }) => type === 'freeze')
        .map(({ name, step, value }) => {
          const { kind, block } = this.#registry.get(name);
          return { step, name, kind, block, value };
        }),
      signals: (this.rule?.watched ?? []).map(({ name, kind, block }) => ({
        ...{ name, kind, block },
        samples: shown.flatMap(([step, values]) => {
          const value = values.find(([other]) => other === name)?.[1];
          return value === undefined ? [] : [{ step, value: Number(value.toPrecision(4)) }];
        }),
      })),
      threshold: this.rule?.threshold ?? null,
    };
  }
}

function isWatching(policy: Policy): policy is Watching {
  return 'onCheck' in policy && 'watched' in policy && 'threshold' in policy;
}
