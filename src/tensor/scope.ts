/** Steps and scopes, which own the tensors made in them. */
import type { Device } from './device.ts';
import { ArgumentError, StepError } from './errors.ts';
import { platform } from './platform/platform.ts';

/** What a scope can own. */
export interface Releasable {
  readonly device: Device;
  owner: Scope | null;
  release(reason?: string): void;
  /** Leaves its scope, to live until it is released or nothing refers to it any more. */
  persist(): void;
}

/** Owns the tensors made while it is open, and returns their buffers when it closes. */
export class Scope {
  readonly name: string;
  readonly parent: Scope | null;
  readonly #members: Releasable[] = [];
  readonly devices = new Set<Device>();

  constructor(name: string, parent: Scope | null) {
    this.name = name;
    this.parent = parent;
  }

  adopt(member: Releasable): void {
    member.owner = this;
    this.#members.push(member);
    this.devices.add(member.device);
  }

  /** Releases every member but those in `survivors`, which go to the enclosing scope. */
  close(survivors: ReadonlySet<unknown>): void {
    for (const device of this.devices) this.parent?.devices.add(device);
    for (const member of this.#members) {
      if (member.owner !== this) continue;
      if (!survivors.has(member)) member.release(`its ${this.name} ended`);
      else if (this.parent) this.parent.adopt(member);
      else member.persist();
    }
    this.#members.length = 0;
  }
}

/** What is made belongs to the scope it is made in, without being told: this is the stack of scopes. */
let innermost: Scope | null = null;
/** The outermost of them, while a step is open. */
let openStep: Scope | null = null;
/** Steps take turns: settled when the one that is open is over. */
let turn: Promise<void> | null = null;
/** Tells the code of a step, across its awaits, from what else runs meanwhile. */
const chains = platform.chains?.<Scope>() ?? null;

/** The scope that owns what is made now; null outside every step and scope. */
export function currentScope(): Scope | null {
  return innermost === openStep ? currentStep() : innermost;
}

/** The step that is open, for what must outlive the scopes inside it; null for code that is no part of it. */
export function currentStep(): Scope | null {
  return openStep !== null && chains !== null && chains.current() !== openStep ? null : openStep;
}

/**
 * Runs `body` and gives back every tensor made in it except those it returns (one, or an array or object of them).
 * The modules of `nn` wrap their forward pass in a scope, so that an intermediate result the graph does not need for
 * the backward pass is free again at once.
 */
export function scope<T>(name: string, body: () => T): T {
  const own = new Scope(name, currentScope());
  const enclosing = innermost;
  innermost = own;
  let survivors: Set<unknown> = new Set();
  try {
    const result = body();
    if (result instanceof Promise) {
      throw new StepError(`scope '${name}' got an asynchronous function; only step() may hold an await`);
    }
    survivors = collect(result);
    return result;
  } finally {
    innermost = enclosing;
    own.close(survivors);
  }
}

/** Runs `body` such that what it makes belongs to the step, whatever scope it was called from. */
export function inStep<T>(body: () => T): T {
  const enclosing = innermost;
  innermost = currentStep();
  try {
    return body();
  } finally {
    innermost = enclosing;
  }
}

/**
 * One step of a training or evaluation loop. Every tensor made in it, across awaits, belongs to it and goes back to the
 * pool when it ends; what must live on is a parameter, an optimizer's state, or was kept by name with `keep`.
 *
 * The end of a step is where work is submitted. At most two steps are in flight (none on a software adapter), and the
 * event loop gets a turn, so a loop that never reads a value neither queues without bound nor misses Ctrl-C.
 *
 * Steps follow one another. Where several loops run side by side a step waits for the one that is open, so that none disturbs
 * another, whatever their devices.
 *
 * @throws StepError inside another step, for which it would wait for ever; in a browser, which cannot tell, beside one too.
 */
export async function step<T>(body: () => T | Promise<T>): Promise<T> {
  checkBody('step', body);
  if (openStep !== null && (chains === null || chains.current() === openStep)) {
    throw new StepError('a step was opened while another one is open: await the first before the next');
  }
  while (turn !== null) await turn;
  let end = () => {};
  turn = new Promise((resolve) => {
    end = resolve;
  });
  try {
    return await runStep(body);
  } finally {
    turn = null;
    end();
  }
}

/** @throws ArgumentError for what a caller without types may pass, such as what the body would have given. */
export function checkBody(operation: string, body: unknown): void {
  if (typeof body === 'function') return;
  throw new ArgumentError(`${operation}: got ${String(body)} (allowed: a function, such as () => model.call(x))`);
}

async function runStep<T>(body: () => T | Promise<T>): Promise<T> {
  const own = new Scope('step', null);
  openStep = own;
  innermost = own;
  let result: T;
  try {
    result = await (chains === null ? body() : chains.run(own, body));
  } catch (error) {
    closeStep(own);
    // The error of the body is the one to report; what the devices say of work cut short is not.
    await Promise.allSettled([...own.devices].map((device) => device.finishStep()));
    throw error;
  }
  closeStep(own);
  for (const device of own.devices) await device.finishStep();
  if (own.devices.size === 0) await platform.eventLoopTurn();
  return result;
}

function closeStep(own: Scope): void {
  openStep = null;
  innermost = null;
  own.close(new Set());
}

/** Outlives every step, which is what it is for. */
const kept = new Map<string, Releasable>();

/**
 * Lets `tensor` outlive its step, under a name. Keeping another tensor under the same name releases the one before, so
 * a loop may keep its newest state without leaking the older ones. The graph a kept tensor was computed in ends with its
 * step: keep `detach(tensor)` to compute with it later.
 */
export function keep<T extends Releasable>(name: string, tensor: T): T {
  if (typeof name !== 'string' || typeof Object(tensor).persist !== 'function') {
    throw new ArgumentError(`keep: got ${String(name)} and ${String(tensor)} (allowed: a name, and then a tensor)`);
  }
  tensor.persist();
  const previous = kept.get(name);
  if (previous !== undefined && previous !== tensor) previous.release(`another tensor was kept as '${name}'`);
  kept.set(name, tensor);
  return tensor;
}

/** Releases what was kept under `name`; nothing happens if there is none. */
export function forget(name: string): void {
  kept.get(name)?.release(`'${name}' was forgotten`);
  kept.delete(name);
}

function collect(result: unknown, found: Set<unknown> = new Set()): Set<unknown> {
  if (typeof result !== 'object' || result === null || found.has(result)) return found;
  found.add(result);
  if (Array.isArray(result)) for (const entry of result) collect(entry, found);
  else if (Object.getPrototypeOf(result) === Object.prototype) {
    for (const entry of Object.values(result)) collect(entry, found);
  }
  return found;
}
