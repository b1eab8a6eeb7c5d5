/** The form that steers training, and the lines that tell how far it is. */
import {
  type Command,
  type Description,
  deviceNames,
  type Message,
  type RuleSettings,
  type RunState,
  ruleNames,
  type Settings,
  type StepState,
  taskNames,
} from './protocol.ts';
import { lengths, type Range, rules, seeds, usualSettings } from './settings.ts';

interface Steering {
  send(command: Command): void;
  restart(settings: Settings): void;
  remember(settings: Settings): void;
  useText(text: string): void;
  useFiles(files: readonly File[]): void;
}

const taskLabels = {
  sort: 'Put letters in order',
  reverse: 'Reverse words',
  text: 'Continue your text',
  files: 'Tell your files apart',
};
const deviceLabels = { cpu: 'Processor', webgpu: 'WebGPU' };
/** Steps a second; 0: as many as it can. */
const speeds = [0, 30, 10, 3, 1];
const sliders = ['threshold', 'grace', 'patience'] as const;

export class Controls {
  readonly #form: HTMLElement;
  readonly #steering: Steering;
  #settings: Settings = usualSettings;
  #isPaused = false;
  #state: StepState | null = null;
  /** What the status line says while there is no step to tell of. */
  #idle = 'It is being prepared.';
  #checkpoints: readonly number[] = [];

  constructor(form: HTMLElement, steering: Steering) {
    this.#form = form;
    this.#steering = steering;
    const { send } = steering;
    form.addEventListener('submit', (event) => event.preventDefault());
    fill(
      this.#select('task'),
      taskNames.map((name) => [name, taskLabels[name]]),
    );
    fill(
      this.#select('device'),
      deviceNames.map((name) => [name, deviceLabels[name]]),
    );
    fill(
      this.#select('rule'),
      ruleNames.map((name) => [name, rules[name].label]),
    );
    fill(
      this.#select('speed'),
      speeds.map((speed) => [String(speed), speed === 0 ? 'as fast as it can' : `${speed} steps a second`]),
    );
    this.#bound('seed', seeds);
    this.#bound('steps', lengths);

    this.#on('pause', 'click', () => send({ type: this.#isPaused ? 'resume' : 'pause' }));
    this.#on('single-step', 'click', () => send({ type: 'step' }));
    this.#on('start-over', 'click', () => steering.restart(this.settings));
    this.#on('speed', 'change', () =>
      send({ type: 'speed', stepsPerSecond: Number(this.#select('speed').value) || null }),
    );
    this.#on('checkpoint', 'change', () => {
      const { value } = this.#select('checkpoint');
      if (value !== '') send({ type: 'restore', step: Number(value) });
    });
    this.#on('copy-link', 'click', () => void this.#copyLink());
    for (const id of ['task', 'seed', 'steps', 'device']) this.#on(id, 'change', () => this.#changeRun());
    this.#on('rule', 'change', () => this.#changeRule(true));
    for (const id of sliders) {
      this.#on(id, 'input', () => this.#showValue(id));
      this.#on(id, 'change', () => this.#changeRule(false));
    }
    this.#on('use-text', 'click', () => steering.useText(this.#text().value));
    this.#on('files', 'change', () => steering.useFiles([...(this.#input('files').files ?? [])]));
  }

  get settings(): Settings {
    return this.#settings;
  }

  show(settings: Settings, text: string): void {
    this.#settings = settings;
    for (const name of ['task', 'device', 'rule'] as const) this.#select(name).value = settings[name];
    for (const name of ['seed', 'steps'] as const) this.#input(name).value = String(settings[name]);
    if (this.#text().value === '') this.#text().value = text;
    this.#showTask();
    this.#showRule();
  }

  showFiles(names: readonly string[]): void {
    this.#element('file-names').textContent = names.join(', ');
  }

  receive(message: Message): void {
    switch (message.type) {
      case 'started':
        this.#state = null;
        this.#idle = 'It is being prepared.';
        this.#element('task-explanation').textContent = explained(message.description);
        return;
      case 'error':
        this.#state = null;
        this.#idle = 'Nothing trains.';
        return;
      case 'restored':
        this.#state = null;
        this.#idle = `Back at step ${message.step} of ${this.#settings.steps}.`;
        return;
      case 'step':
        this.#state = message.state;
        return;
      case 'paused':
        this.#isPaused = message.paused;
        return;
      case 'checkpoints':
        this.#checkpoints = message.steps;
        return;
      case 'device': {
        const { adapter, reason } = message.device;
        this.#outside('device-line').textContent = `${adapter}. ${reason}`;
      }
    }
  }

  draw(): void {
    this.#element('pause').textContent = this.#isPaused ? 'Go on' : 'Pause';
    const checkpoint = this.#select('checkpoint');
    const wanted = ['', ...this.#checkpoints.map(String)];
    if (checkpoint.options.length !== wanted.length || checkpoint.options[wanted.length - 1].value !== wanted.at(-1)) {
      fill(
        checkpoint,
        wanted.map((step) => [step, step]),
      );
    }
    checkpoint.value = '';
    this.#outside('status').textContent = this.#status();
  }

  #status(): string {
    if (!this.#state) return this.#idle;
    const { step, full, rule } = this.#state;
    const ran = ({ step, milliseconds, dispatches, ended }: RunState) =>
      ended ? `ended after ${step} steps` : `${milliseconds.toFixed(1)} ms, ${dispatches} dispatches`;
    return `Step ${step} of ${this.#settings.steps}. Everything trains: ${ran(full)}. With the rule: ${ran(rule)}.`;
  }

  #changeRun(): void {
    const task = taskNames.find((name) => name === this.#select('task').value) ?? this.#settings.task;
    const device = deviceNames.find((name) => name === this.#select('device').value) ?? this.#settings.device;
    const [seed, steps] = [this.#input('seed'), this.#input('steps')];
    if (!seed.reportValidity() || !steps.reportValidity()) return;
    this.#settings = { ...this.#settings, task, device, seed: seed.valueAsNumber, steps: steps.valueAsNumber };
    this.#showTask();
    this.#steering.restart(this.#settings);
  }

  #changeRule(isOther: boolean): void {
    const rule = ruleNames.find((name) => name === this.#select('rule').value) ?? this.#settings.rule;
    const [threshold, grace, patience] = sliders.map((name) => this.#input(name).valueAsNumber);
    const changed: RuleSettings = isOther ? { rule, ...rules[rule].usual } : { rule, threshold, grace, patience };
    this.#settings = { ...this.#settings, ...changed };
    this.#showRule();
    if (this.#state) {
      const from = ` In this run from step ${this.#state.step} on; a link has it from the start.`;
      this.#element('rule-explanation').append(from);
    }
    this.#steering.remember(this.#settings);
    this.#steering.send({ type: 'rule', rule: changed });
  }

  #showTask(): void {
    this.#element('text-data').hidden = this.#settings.task !== 'text';
    this.#element('file-data').hidden = this.#settings.task !== 'files';
  }

  #showRule(): void {
    const description = rules[this.#settings.rule];
    this.#element('rule-explanation').textContent = description.explanation;
    for (const name of sliders) {
      const range = description[name];
      const input = this.#input(name);
      input.disabled = range === null;
      if (range) this.#bound(name, range);
      input.value = String(this.#settings[name]);
      this.#showValue(name);
    }
  }

  #showValue(name: (typeof sliders)[number]): void {
    const output = this.#form.querySelector(`output[for=${name}]`);
    const input = this.#input(name);
    if (output) output.textContent = input.disabled ? '–' : input.value;
  }

  async #copyLink(): Promise<void> {
    const button = this.#element('copy-link');
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'Copy it from the address bar';
    }
    setTimeout(() => {
      button.textContent = 'Copy link';
    }, 2000);
  }

  #on(id: string, event: 'click' | 'change' | 'input', listener: () => void): void {
    this.#element(id).addEventListener(event, listener);
  }

  #bound(id: string, { lowest, highest, step }: Range): void {
    Object.assign(this.#input(id), { min: String(lowest), max: String(highest), step: String(step) });
  }

  #element(id: string): HTMLElement {
    return found(this.#form.querySelector<HTMLElement>(`#${id}`), id);
  }

  #outside(id: string): HTMLElement {
    return found(document.getElementById(id), id);
  }

  #select(id: string): HTMLSelectElement {
    return found(this.#form.querySelector<HTMLSelectElement>(`select#${id}`), id);
  }

  #input(id: string): HTMLInputElement {
    return found(this.#form.querySelector<HTMLInputElement>(`input#${id}`), id);
  }

  #text(): HTMLTextAreaElement {
    return found(this.#form.querySelector<HTMLTextAreaElement>('textarea#text'), 'text');
  }
}

function explained({ task, model: { blocks, width, parameters } }: Description): string {
  return `${task} The model: ${blocks} blocks of width ${width}, ${parameters.toLocaleString('en')} parameters.`;
}

function found<Element>(element: Element | null, id: string): Element {
  if (element) return element;
  throw new Error(`the page has no element ${id}`);
}

function fill(select: HTMLSelectElement, options: readonly (readonly [value: string, label: string])[]): void {
  select.replaceChildren(...options.map(([value, label]) => new Option(label, value)));
}
