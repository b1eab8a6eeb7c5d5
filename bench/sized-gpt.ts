import {
  AdamW,
  backward,
  crossEntropy,
  type Device,
  Random,
  step,
  Transformer,
  type TransformerConfig,
  tensor,
} from '../src/index.ts';

export interface GptSize {
  batch: number;
  time: number;
  width: number;
  blocks: number;
  /** 128 by default. */
  vocabulary?: number;
  /** 32 by default. */
  headSize?: number;
}

/** A GPT like that of the step suite, of any size, and everything it trains with. */
export class SizedGpt {
  readonly #device: Device;
  readonly #size: GptSize;
  readonly #model: Transformer;
  readonly #optimizer: AdamW;

  constructor(device: Device, size: GptSize, activations?: TransformerConfig['activations']) {
    const { width, blocks, time, vocabulary = 128, headSize = 32 } = size;
    this.#device = device;
    this.#size = size;
    this.#model = new Transformer(
      {
        ...{ vocabulary, width, heads: width / headSize, hidden: 4 * width, blocks, causal: true, activations },
        ...{ head: 'language-model', normalization: 'layer', positions: { learned: time }, feedForward: 'relu' },
      },
      { device, random: new Random(1) },
    );
    this.#optimizer = new AdamW(this.#model.parameters(), { learningRate: 1e-3 });
  }

  /** One training step, up to the loss on the host. */
  step(): Promise<number> {
    const device = this.#device;
    const { batch, time, vocabulary = 128 } = this.#size;
    const ids = (shift: number) => Int32Array.from({ length: batch * time }, (_, i) => (7 * i + shift) % vocabulary);
    return step(async () => {
      const tokens = tensor(ids(0), { device, shape: [batch, time] });
      const targets = tensor(ids(7), { device, shape: [batch, time] });
      const loss = crossEntropy(this.#model.call(tokens), targets);
      backward(loss);
      this.#optimizer.step(loss);
      return (await this.#optimizer.report()).loss;
    });
  }

  release(): void {
    this.#optimizer.release();
    for (const parameter of this.#model.parameters()) parameter.release('its measurement was over');
    this.#device.trim();
  }
}
