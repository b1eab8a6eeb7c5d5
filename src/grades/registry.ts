import type { Parameter, ParameterKind } from '../nn/parameter.ts';
import { ArgumentError } from '../tensor/errors.ts';

/** The seven projection matrices of a block that GradES watches (arXiv 2509.01842, section 3.1). */
export const projectionKinds: readonly ParameterKind[] = ['query', 'key', 'value', 'output', 'gate', 'up', 'down'];

/** What is watched, frozen and thawed as one: a parameter, or several of one group (A and B of an adapter). */
export interface RegistryEntry {
  /** Path of the parameter, or of its group. */
  readonly name: string;
  readonly kind: ParameterKind;
  /** Index of the transformer block it stands in; null outside of blocks. */
  readonly block: number | null;
  readonly parameters: readonly Parameter[];
}

export function isFrozen({ parameters }: RegistryEntry): boolean {
  return parameters.every((parameter) => parameter.isFrozen);
}

/** Which of them: by kind, by a pattern on the name, or by any function. */
export type Selector = readonly ParameterKind[] | RegExp | ((entry: RegistryEntry) => boolean);

export interface RegistryEvent {
  readonly type: 'freeze' | 'thaw';
  readonly name: string;
  /** Step after whose update it happened. */
  readonly step: number;
  /** What was watched, and the threshold it fell below; null where a parameter only follows another. */
  readonly value: number | null;
  readonly threshold: number | null;
  readonly reason: string;
}

/** Why a parameter freezes or thaws, for the record. */
export type Cause = Pick<RegistryEvent, 'step' | 'reason'> & Partial<Pick<RegistryEvent, 'value' | 'threshold'>>;

/**
 * Every parameter of a model by name, whether it is active or frozen, and the record of what froze when. Policies decide;
 * the registry carries out, and tells whoever listens.
 */
export class ParameterRegistry {
  readonly entries: readonly RegistryEntry[];
  readonly events: RegistryEvent[] = [];
  readonly #byName: ReadonlyMap<string, RegistryEntry>;
  readonly #listeners = new Set<(event: RegistryEvent) => void>();
  #deferred: { entry: RegistryEntry; type: RegistryEvent['type']; cause: Cause }[] | null = null;

  constructor(model: { namedParameters(): ReadonlyMap<string, Parameter> }) {
    const groups = new Map<string, Parameter[]>();
    for (const [path, parameter] of model.namedParameters()) {
      const name = parameter.group ?? path;
      groups.set(name, [...(groups.get(name) ?? []), parameter]);
    }
    this.entries = [...groups].map(([name, parameters]) => {
      const block = /(?:^|\.)blocks\.(\d+)\./.exec(name);
      return { name, kind: parameters[0].kind, block: block ? Number(block[1]) : null, parameters };
    });
    this.#byName = new Map(this.entries.map((entry) => [entry.name, entry]));
  }

  /** @throws ArgumentError where no parameter has that name. */
  get(name: string): RegistryEntry {
    const entry = this.#byName.get(name);
    if (entry) return entry;
    throw new ArgumentError(`registry: no parameter is named '${name}'; there are ${this.#names(this.entries)}`);
  }

  /** @throws ArgumentError where nothing matches: a rule that watches nothing would silently do nothing. */
  select(selector: Selector): RegistryEntry[] {
    const matches = (entry: RegistryEntry) => {
      if (selector instanceof RegExp)
        return new RegExp(selector.source, selector.flags.replace(/[gy]/g, '')).test(entry.name);
      return typeof selector === 'function' ? selector(entry) : selector.includes(entry.kind);
    };
    const found = this.entries.filter(matches);
    if (found.length > 0) return found;
    const what = Array.isArray(selector) ? `kinds ${selector.join(', ')}` : String(selector);
    throw new ArgumentError(`registry: ${what} matches none of the parameters ${this.#names(this.entries)}`);
  }

  /** Entries that still train. */
  active(entries: readonly RegistryEntry[] = this.entries): RegistryEntry[] {
    return entries.filter((entry) => !isFrozen(entry));
  }

  /** Takes an entry out of training. Nothing happens to one that is frozen. */
  freeze(entry: RegistryEntry, cause: Cause): void {
    this.#change('freeze', entry, cause);
  }

  /** Brings a frozen entry back; the optimizer starts its state anew. */
  thaw(entry: RegistryEntry, cause: Cause): void {
    this.#change('thaw', entry, cause);
  }

  /**
   * Puts off every freeze and thaw from now on, until the function it returns is called: that carries them out. So a run
   * can be copied as it is just before the first decision of a policy.
   */
  defer(): () => void {
    if (this.#deferred) throw new ArgumentError('registry: changes are deferred already');
    this.#deferred = [];
    return () => {
      const changes = this.#deferred ?? [];
      this.#deferred = null;
      for (const { type, entry, cause } of changes) this.#change(type, entry, cause);
    };
  }

  /** Names of what is to be frozen or thawed once changes are not deferred any more. */
  get deferred(): readonly string[] {
    return (this.#deferred ?? []).map(({ entry }) => entry.name);
  }

  #change(type: RegistryEvent['type'], entry: RegistryEntry, cause: Cause): void {
    if (isFrozen(entry) === (type === 'freeze')) return;
    if (this.#deferred) {
      const known = this.#deferred.some((change) => change.entry === entry && change.type === type);
      if (!known) this.#deferred.push({ type, entry, cause });
      return;
    }
    for (const parameter of entry.parameters) parameter[type]();
    this.#record(type, entry, cause);
  }

  /** Calls `listener` after every freeze and thaw, until the function it returns is called. */
  onEvent(listener: (event: RegistryEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #record(type: RegistryEvent['type'], { name }: RegistryEntry, { step, reason, value, threshold }: Cause): void {
    const event = { type, name, step, reason, value: value ?? null, threshold: threshold ?? null };
    this.events.push(event);
    for (const listener of this.#listeners) listener(event);
  }

  #names(entries: readonly RegistryEntry[]): string {
    const shown = entries.slice(0, 20).map(({ name }) => name);
    return entries.length > shown.length
      ? `${shown.join(', ')} and ${entries.length - shown.length} more`
      : shown.join(', ');
  }
}

/**
 * Freezes what is left of a watched block once every matrix in it is frozen: its norms and, when it is the first of the
 * model, the embeddings below it. As long as one norm or embedding trains, the gradient must still be carried down to
 * it; only with them does the lower part of the graph go.
 */
export function freezeLeftovers(registry: ParameterRegistry, watched: readonly RegistryEntry[], step: number): void {
  const blocksOf = (entries: readonly RegistryEntry[]) =>
    [...new Set(entries.flatMap(({ block }) => (block === null ? [] : [block])))].sort((a, b) => a - b);
  const [first] = blocksOf(registry.entries);
  const unfinished = blocksOf(registry.active().filter(({ kind }) => kind !== 'norm' && kind !== 'bias'));
  for (const block of blocksOf(watched)) {
    if (unfinished.includes(block)) continue;
    for (const entry of registry.entries) {
      if (entry.block === block) {
        registry.freeze(entry, { step, reason: `every matrix of block ${block} is frozen` });
      } else if (block === first && entry.kind === 'embedding') {
        registry.freeze(entry, { step, reason: 'the first block is frozen' });
      }
    }
  }
}
