/** The GPT of every suite that measures training steps: of any size, with all that it trains with. */

import {
  AdamW,
  crossEntropy,
  type Device,
  GradES,
  type GradESOptions,
  ParameterRegistry,
  type Policy,
  Random,
  Training,
  Transformer,
  type TransformerConfig,
  tensor,
} from '../src/index.ts';

export interface GptSize {
  batch: number;
  /** Tokens a row. */
  time: number;
  width: number;
  blocks: number;
  /** 128 by default. */
  vocabulary?: number;
  /** 32 by default. */
  headSize?: number;
}

export interface GptOptions {
  /** How the values between the layers are stored; f32 by default. */
  activations?: TransformerConfig['activations'];
  /** Watches the matrices from the first step on. */
  rule?: GradESOptions;
  /** Whether every step reads its loss back; true by default. */
  readsLoss?: boolean;
  /** Told when recording each part of a step is over. */
  onPhase?(phase: 'forward' | 'backward' | 'update'): void;
}

const learningRate = 1e-3;

export class Gpt {
  readonly model: Transformer;
  readonly training: Training;
  readonly #device: Device;
  readonly #optimizer: AdamW;
  #loss = Number.NaN;

  constructor(device: Device, size: GptSize, options: GptOptions = {}) {
    const { activations, rule, readsLoss = true, onPhase } = options;
    const { batch, time, width, blocks, vocabulary = 128, headSize = 32 } = size;
    this.#device = device;
    this.model = new Transformer(
      {
        ...{ vocabulary, width, heads: width / headSize, hidden: 4 * width, blocks, causal: true, activations },
        ...{ head: 'language-model', normalization: 'layer', positions: { learned: time }, feedForward: 'relu' },
      },
      { device, random: new Random(1) },
    );
    this.#optimizer = new AdamW(this.model.parameters(), { learningRate });
    const registry = new ParameterRegistry(this.model);
    const policies: Policy[] = [{ afterStep: () => onPhase?.('update') }];
    if (rule) policies.push(new GradES(registry, this.#optimizer, rule));
    // Read inside the step, the loss comes back with what the step submits.
    const readLoss = async () => {
      this.#loss = await this.training.loss();
    };
    if (readsLoss) policies.push({ afterStep: readLoss });
    // Each token, and the one that follows it seven places on.
    const ids = (shift: number) => Int32Array.from({ length: batch * time }, (_, i) => (7 * i + shift) % vocabulary);
    this.training = new Training({
      ...{ model: this.model, optimizer: this.#optimizer, registry, policies, steps: Number.MAX_SAFE_INTEGER },
      loss: () => {
        const [tokens, targets] = [0, 7].map((shift) => tensor(ids(shift), { device, shape: [batch, time] }));
        const loss = crossEntropy(this.model.call(tokens), targets);
        onPhase?.('forward');
        return loss;
      },
      schedule: () => {
        onPhase?.('backward');
        return learningRate;
      },
    });
  }

  /** One training step; resolves to its loss, or to NaN where it is not read. */
  async step(): Promise<number> {
    await this.training.advance();
    return this.#loss;
  }

  release(): void {
    this.#optimizer.release();
    for (const parameter of this.model.parameters()) parameter.release('its measurement was over');
    this.#device.trim();
  }
}
