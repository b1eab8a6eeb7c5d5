/**
 * Two runs from one seed, step by step, told in messages: one trains everything, in the other a rule freezes. It knows no page and no
 * worker, and runs in Node too.
 */
import { ArgumentError, type Device, isFrozen, type RegistryEntry, type Saved } from '../src/index.ts';
import { attentionScores, attentionWeights } from './attention.ts';
import {
  type AttentionLook,
  type MatrixState,
  type Message,
  matrixKinds,
  type PlainStop,
  type RuleName,
  type RuleSettings,
  type RunName,
  type RunState,
  type Sample,
  type Settings,
  type TaskData,
} from './protocol.ts';
import { type Signal, Signals } from './rule.ts';
import { Run, sizes } from './run.ts';
import { makeTask, type Task } from './tasks.ts';

const shownSamples = 4;
/** How often in a run these are measured, shown and kept, but not more often than every so many steps. */
const [accuracies, samplings, checkpoints] = [80, 32, 16];
const fewestBetween = 5;

interface Checkpoint {
  step: number;
  runs: Readonly<Record<RunName, { saved: Saved; state: RunState }>>;
  /** Which rule it was that learned of the matrices, and what. */
  rule: RuleName;
  signals: ReadonlyMap<string, Signal>;
}

export class Engine {
  readonly #settings: Settings;
  readonly #task: Task;
  readonly #emit: (message: Message) => void;
  #device: Device;
  #rule: RuleSettings;
  #runs: Record<RunName, Run>;
  #signals: Signals;
  #checkpoints: Checkpoint[] = [];
  /** Of the run without freezing, step by step. */
  readonly #history: RunState[] = [];
  #look: AttentionLook = { block: 0, head: 0, sample: 0 };
  #graphIsOld = true;

  /** @throws ArgumentError where the data do not suffice for the task, in words for the user. */
  constructor(device: Device, settings: Settings, data: TaskData, emit: (message: Message) => void) {
    this.#device = device;
    this.#settings = settings;
    this.#rule = settings;
    this.#emit = emit;
    this.#task = makeTask(settings.task, data);
    this.#runs = { full: this.#makeRun(null), rule: this.#makeRun(settings) };
    this.#signals = new Signals();
    this.#listen();
  }

  /** Steps of the run that is ahead. */
  get step(): number {
    return Math.max(this.#runs.full.state.step, this.#runs.rule.state.step);
  }

  get finished(): boolean {
    return this.#runs.full.state.ended && this.#runs.rule.state.ended;
  }

  /** Tells what there is to see before the first step. */
  async begin(): Promise<void> {
    const { model, matrices } = this.#runs.rule;
    const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
    this.#emit({
      type: 'started',
      description: {
        settings: this.#settings,
        task: this.#task.explanation,
        model: { ...sizes, parameters },
        matrices: matrices.map(({ name, block, kind, parameters: [{ shape }] }) => {
          const matrixKind = matrixKinds.find((each) => each === kind);
          if (block === null || !matrixKind) throw new ArgumentError(`${name} stands in no block`);
          return { name, block, kind: matrixKind, shape };
        }),
      },
    });
    this.#tellRule();
    for (const run of Object.values(this.#runs)) await run.measureAccuracy();
    await this.#showGraph();
    await this.#show();
    await this.#keep();
  }

  /** One step of each run that has not ended. */
  async advance(): Promise<void> {
    for (const name of ['full', 'rule'] as const) {
      const run = this.#runs[name];
      if (run.state.ended) continue;
      await run.advance();
    }
    const { full, rule } = this.#runs;
    const { step } = this;
    for (const run of [full, rule]) {
      const isNew = run.state.step === step;
      if (isNew && (run.state.ended || step % this.#every(accuracies) === 0)) await run.measureAccuracy();
    }
    if (full.state.step > this.#history.length) this.#history.push(full.state);
    const stop = this.#plainStop();
    this.#emit({
      ...{ type: 'step', state: { step, full: full.state, rule: rule.state, matrices: this.#matrices(), stop } },
    });
    for (const name of ['full', 'rule'] as const) {
      const { state } = this.#runs[name];
      if (state.ended && state.step === step) await this.#end(name);
    }
    await this.#showGraph();
    if (step % this.#every(samplings) === 0 || this.finished) await this.#show();
    if (step % this.#every(checkpoints) === 0) await this.#keep();
  }

  /** By hand. @throws ArgumentError for a matrix that there is none of, or after the end. */
  async freeze(name: string): Promise<void> {
    const { registry } = this.#runs.rule;
    registry.freeze(this.#matrix(name), { step: this.step, reason: 'by hand' });
    this.#device.trim();
    await this.#showGraph();
  }

  /** With what froze because the matrix's block had. */
  async thaw(name: string): Promise<void> {
    const { registry } = this.#runs.rule;
    const matrix = this.#matrix(name);
    const isLeftover = ({ kind, block }: RegistryEntry) =>
      (kind === 'norm' && block === matrix.block) || (kind === 'embedding' && matrix.block === 0);
    for (const entry of [matrix, ...registry.entries.filter(isLeftover)]) {
      registry.thaw(entry, { step: this.step, reason: 'by hand' });
    }
    await this.#showGraph();
  }

  /** The rule goes on with other settings; what it has learned of the matrices stays where it is the same rule. */
  async changeRule(settings: RuleSettings): Promise<void> {
    const before = this.#runs.rule;
    const isSame = settings.rule === this.#rule.rule;
    const saved = await before.save();
    this.#rule = settings;
    this.#runs.rule = this.#makeRun(settings);
    await this.#runs.rule.restore(saved, before.state, isSame);
    before.release();
    if (!isSame) this.#signals = new Signals();
    this.#listen();
    this.#tellRule();
  }

  /** @throws ArgumentError where there is no checkpoint of that step. */
  async restore(step: number): Promise<void> {
    const found = this.#checkpoints.find((each) => each.step === step);
    if (!found) throw new ArgumentError(`there is no checkpoint of step ${step}`);
    await this.#goTo(found);
  }

  /** Goes on from the last checkpoint on another device; what the one before held is lost. */
  async moveTo(device: Device): Promise<void> {
    this.#device = device;
    this.#runs = { full: this.#makeRun(null), rule: this.#makeRun(this.#rule) };
    this.#listen();
    const last = this.#checkpoints.at(-1);
    await (last ? this.#goTo(last) : this.begin());
  }

  async lookAt(look: AttentionLook): Promise<void> {
    const { block, head, sample } = look;
    for (const [index, count] of [
      [block, sizes.blocks],
      [head, sizes.heads],
      [sample, shownSamples],
    ]) {
      if (Number.isInteger(index) && index >= 0 && index < count) continue;
      throw new ArgumentError(`block ${block}, head ${head}, sample ${sample}: there is no such thing`);
    }
    this.#look = look;
    await this.#showAttention();
  }

  /** Gives back what the runs hold on the device. */
  release(): void {
    for (const run of Object.values(this.#runs)) run.release();
  }

  #makeRun(rule: RuleSettings | null): Run {
    const { seed, steps } = this.#settings;
    return new Run({ device: this.#device, task: this.#task, seed, steps, rule });
  }

  #listen(): void {
    const { registry, rule } = this.#runs.rule;
    rule?.onCheck?.((check) => this.#signals.take(check, rule.watching.unit));
    registry.onEvent(({ type, name, step, reason }) => {
      this.#graphIsOld = true;
      const event = { name, step, reason };
      this.#emit(type === 'freeze' ? { type: 'frozen', event } : { type: 'thawed', event });
    });
  }

  #tellRule(): void {
    const { rule } = this.#runs.rule;
    if (rule) this.#emit({ type: 'watching', watching: rule.watching });
  }

  /** How many steps lie between two of so many in a run. */
  #every(times: number): number {
    return Math.max(fewestBetween, Math.ceil(this.#settings.steps / times));
  }

  #matrix(name: string): RegistryEntry {
    const { matrices, state } = this.#runs.rule;
    if (state.ended) throw new ArgumentError('this run has ended: step back to a checkpoint first');
    const found = matrices.find((each) => each.name === name);
    if (!found) throw new ArgumentError(`there is no matrix ${name}`);
    return found;
  }

  #matrices(): MatrixState[] {
    const { matrices, registry } = this.#runs.rule;
    return matrices.map((entry) => {
      const freeze = isFrozen(entry) ? registry.events.findLast(({ name }) => name === entry.name) : null;
      const frozen = freeze ? { step: freeze.step, reason: freeze.reason } : null;
      return { ...this.#signals.of(entry.name), threshold: this.#rule.threshold, frozen };
    });
  }

  #plainStop(): PlainStop {
    const { operationsSoFar } = this.#runs.rule.state;
    const index = this.#history.findLastIndex((state) => state.operationsSoFar <= operationsSoFar);
    const { loss = null, accuracy = null } = this.#history[index] ?? {};
    return { step: index + 1, loss, accuracy };
  }

  async #end(name: RunName): Promise<void> {
    const run = this.#runs[name];
    await run.end();
    const { step, loss, accuracy } = run.state;
    const reason = step >= this.#settings.steps ? 'schedule' : 'frozen';
    this.#emit({ type: 'ended', ending: { run: name, step, loss, accuracy: accuracy ?? Number.NaN, reason } });
  }

  /** Keeps where both runs are. */
  async #keep(): Promise<void> {
    const { full, rule } = this.#runs;
    const { step } = this;
    const runs = {
      full: { saved: await full.save(), state: full.state },
      rule: { saved: await rule.save(), state: rule.state },
    };
    this.#checkpoints.push({ step, runs, rule: this.#rule.rule, signals: this.#signals.state() });
    this.#tellCheckpoints();
  }

  async #goTo(checkpoint: Checkpoint): Promise<void> {
    const { step, runs, rule, signals } = checkpoint;
    const isSame = rule === this.#rule.rule;
    for (const name of ['full', 'rule'] as const) {
      const { saved, state } = runs[name];
      await this.#runs[name].restore(saved, state, name === 'full' || isSame);
    }
    this.#signals = new Signals(isSame ? signals : undefined);
    this.#history.length = Math.min(this.#history.length, runs.full.state.step);
    this.#checkpoints = this.#checkpoints.filter((each) => each.step <= step);
    this.#graphIsOld = true;
    this.#emit({ type: 'restored', step });
    this.#tellCheckpoints();
    await this.#showGraph();
    await this.#show();
  }

  #tellCheckpoints(): void {
    this.#emit({ type: 'checkpoints', steps: this.#checkpoints.map(({ step }) => step) });
  }

  /** The graph, if it is another than the one shown. */
  async #showGraph(): Promise<void> {
    if (!this.#graphIsOld) return;
    this.#graphIsOld = false;
    this.#emit({ type: 'graph', graph: await this.#runs.rule.nextGraph() });
  }

  async #show(): Promise<void> {
    const { rule } = this.#runs;
    const shown = rule.heldOut.slice(0, shownSamples);
    const rows = shown.map(({ tokens }) => tokens);
    const outputs = await rule.continuations(rows);
    const { className, character, head, given } = this.#task;
    const isText = head === 'language-model';
    const read = (tokens: readonly number[]) => tokens.map(isText ? character : className).join('');
    const samples: Sample[] = shown.map(({ tokens, targets }, i) => ({
      input: tokens.slice(0, given).map(character).join(''),
      target: read(isText ? targets.slice(given - 1) : targets),
      output: read(outputs[i]),
    }));
    this.#emit({ type: 'samples', step: this.step, samples });
    await this.#showAttention();
  }

  async #showAttention(): Promise<void> {
    const { block, head, sample } = this.#look;
    const { rule } = this.#runs;
    const { tokens } = rule.heldOut[sample];
    const scores = await rule.looking((input) => attentionScores(rule.model, input, block), [tokens]);
    const weights = attentionWeights(scores, head, tokens.length, this.#task.head === 'language-model');
    const attention = { ...this.#look, step: this.step, tokens: tokens.map(this.#task.character), weights };
    this.#emit({ type: 'attention', attention });
  }
}
