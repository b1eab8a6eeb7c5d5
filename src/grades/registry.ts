/** Every parameter of a model by name, and the record of what froze when. */
import type { Parameter, ParameterKind } from '../nn/parameter.ts';
import { type Saved, savedList, savedNumber, savedNumberOrNull, savedObject, savedText } from '../nn/saved.ts';
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

  /** Who is frozen, and the events so far: since when, and why. */
  state(): Saved {
    const frozen = this.entries.filter(isFrozen).map(({ name }) => name);
    return { frozen, events: this.events.map((event) => ({ ...event })) };
  }

  /**
   * Freezes and thaws until the state is as it was. Nobody is told: what happened then has been told then.
   *
   * @throws ArgumentError for a name that there is no parameter of; nothing is changed then.
   */
  restore(state: Saved): void {
    const { frozen, events } = savedObject('registry', state);
    const names = new Set(savedList('registry', frozen).map((name) => savedText('registry', name)));
    for (const name of names) this.get(name);
    const restored = savedList('registry', events).map(eventFrom);
    for (const { name, parameters } of this.entries) {
      for (const parameter of parameters) {
        if (names.has(name)) parameter.freeze();
        else parameter.thaw();
      }
    }
    this.events.splice(0, this.events.length, ...restored);
  }

  #change(type: RegistryEvent['type'], entry: RegistryEntry, cause: Cause): void {
    if (isFrozen(entry) === (type === 'freeze')) return;
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

function eventFrom(saved: Saved): RegistryEvent {
  const { type, name, step, value, threshold, reason } = savedObject('registry event', saved);
  return {
    type: type === 'thaw' ? 'thaw' : 'freeze',
    name: savedText('registry event', name),
    step: savedNumber('registry event', step),
    value: savedNumberOrNull('registry event', value),
    threshold: savedNumberOrNull('registry event', threshold),
    reason: savedText('registry event', reason),
  };
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
