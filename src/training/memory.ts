/** What a step of training will need, before there is one. */
import { AdamW } from '../nn/adamw.ts';
import { Decoder } from '../nn/decoder.ts';
import { Linear } from '../nn/linear.ts';
import { attachAdapter, LoRAAdapter } from '../nn/lora.ts';
import type { Module } from '../nn/module.ts';
import type { Optimizer } from '../nn/optimizer.ts';
import type { Parameter } from '../nn/parameter.ts';
import { CountingDevice } from '../tensor/counting-device.ts';
import { tensor } from '../tensor/create.ts';
import type { Device } from '../tensor/device.ts';
import { computeDType } from '../tensor/dtype.ts';
import { ArgumentError, OutOfMemoryError } from '../tensor/errors.ts';
import { checkOptions } from '../tensor/options.ts';
import { Random } from '../tensor/random.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Training } from './training.ts';

/** Bytes that a step of training takes, and the operations it makes. */
export interface StepMemory {
  /** Of all parameters, frozen ones too. */
  weights: number;
  /** Of what trains, as they all stand when the optimizer steps. */
  gradients: number;
  optimizerState: number;
  /** What the forward pass leaves for the backward pass, gradients of the head included. */
  activations: number;
  /** The most at once, of all these and what they are computed with. Not their sum: activations go as gradients come. */
  peak: number;
  /** What a device reserves for it: a free buffer serves again for one of its size alone. */
  reserved: number;
  /** Floating-point operations. */
  operations: number;
}

/** A training as it will be, built on the device that it is handed. */
export interface StepPlan {
  model: Module<never, unknown>;
  optimizer: Optimizer;
  /** Called inside a step. */
  loss(microBatch: number): Tensor;
  microBatches?: number;
}

/**
 * What a step of training takes on `device`, without taking it: `build` is called with a device that counts and computes nothing, and
 * two steps are made there by the training loop, the second of which is measured. What the model would read from a file need not be
 * there: build it with `random: null`.
 */
export async function stepMemory(device: Device, build: (device: Device) => StepPlan): Promise<StepMemory> {
  const counting = new CountingDevice(device);
  const { model, optimizer, loss, microBatches } = build(counting);
  let activations = 0;
  const training = new Training({
    model,
    optimizer,
    microBatches,
    steps: 2,
    loss(_step, microBatch) {
      const before = counting.memory().liveBytes;
      const result = loss(microBatch);
      activations = Math.max(activations, counting.memory().liveBytes - before);
      return result;
    },
  });
  await training.advance();
  const { flops } = counting.work;
  counting.resetPeak();
  await training.advance();
  const parameters = model.parameters();
  const trained = parameters.filter(({ isFrozen }) => !isFrozen);
  const { peakBytes, reservedBytes } = counting.memory();
  return {
    weights: sumOf(parameters),
    gradients: sumOf(trained),
    optimizerState: optimizer.stateBytes,
    activations,
    peak: peakBytes,
    reserved: reservedBytes,
    operations: counting.work.flops - flops,
  };
}

export interface TrainingMemoryOptions {
  /** Samples of a micro-batch, and tokens of each with the padding. */
  batch: number;
  time: number;
  /** Positions of a micro-batch that have a target; by default all. */
  targets?: number;
  microBatches?: number;
  /** By default AdamW. */
  optimizer?(parameters: Parameter[]): Optimizer;
}

/**
 * What a step of training a decoder by `decoder.loss` takes, as the model stands: what of it is frozen or stored in bf16, its
 * adapters, and `checkpointBlocks`. The step is that of `stepMemory`, on a model of the same description without values.
 *
 * @throws ArgumentError for sizes that are no whole numbers of at least 1.
 */
export function trainingMemory(model: Decoder, options: TrainingMemoryOptions): Promise<StepMemory> {
  checkOptions('trainingMemory', options, ['batch', 'time', 'targets', 'microBatches', 'optimizer'], null);
  const { batch, time, targets = batch * time, microBatches = 1 } = options;
  const { optimizer = (parameters) => new AdamW(parameters, { learningRate: 1e-3 }) } = options;
  for (const [name, value] of Object.entries({ batch, time, microBatches })) {
    if (Number.isInteger(value) && value >= 1) continue;
    throw new ArgumentError(`trainingMemory: ${name} is ${value} (allowed: whole numbers of at least 1)`);
  }
  return stepMemory(model.tokens.table.device, (device) => {
    const twin = twinOf(model, device);
    const shape = [batch, time];
    return {
      model: twin,
      optimizer: optimizer(twin.parameters().filter(({ isFrozen }) => !isFrozen)),
      microBatches,
      loss: () => {
        const wanted = Int32Array.from({ length: batch * time }, (_, i) => (i < targets ? 0 : -100));
        const tokens = tensor(new Int32Array(batch * time), { device, shape });
        return twin.loss(tokens, tensor(wanted, { device, shape }));
      },
    };
  });
}

/**
 * @throws OutOfMemoryError with the sum, where a step does not fit beside what the device holds already: the weights, and whatever
 * else.
 */
export function checkFits(need: StepMemory, device: Device): void {
  // Addresses that the cpu device has given out serve blocks of that size alone; elsewhere free buffers are given back when it gets tight.
  const most = device.kind === 'cpu' ? need.reserved : need.peak;
  const held = Math.max(device.memory().liveBytes, need.weights);
  const total = held - need.weights + most;
  if (total <= device.memoryBudget) return;
  const { weights, gradients, optimizerState, activations } = need;
  const parts = Object.entries({ weights, gradients, 'optimizer state': optimizerState, activations })
    .map(([name, bytes]) => `${name} ${inMebibytes(bytes)}`)
    .join(', ');
  throw new OutOfMemoryError(
    `a step of this training needs ${inMebibytes(total)} and the ${device.kind} device has ${inMebibytes(device.memoryBudget)} ` +
      `(${parts}, ${inMebibytes(held - need.weights)} of other tensors). Less is needed with checkpointBlocks, fewer or shorter ` +
      'samples in a micro-batch, adapters instead of all weights, and a frozen base in bf16',
  );
}

function inMebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}

/** Of parameters that share nothing, as the optimizer sees them: gradients are of the dtype that is computed in. */
function sumOf(parameters: readonly Parameter[]): number {
  return parameters.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** A decoder of the same description on another device, with zeros for values. */
function twinOf(model: Decoder, device: Device): Decoder {
  const stored = model.parameters().some(({ dtype }) => dtype === 'bf16');
  const dtype = stored ? 'bf16' : computeDType(model.tokens.table.dtype);
  const twin = new Decoder(model.config, { device, dtype, random: null });
  twin.checkpointBlocks = model.checkpointBlocks;
  if (!model.training) twin.eval();
  const linears = twin.namedModules();
  const shared = new Map<Parameter, Parameter>();
  for (const [path, module] of model.namedModules()) {
    const linear = linears.get(path);
    if (!(module instanceof Linear && linear instanceof Linear && module.adapter instanceof LoRAAdapter)) continue;
    const { rank, alpha, rankStabilized, dropout, a } = module.adapter;
    const random = new Random(0);
    const options = { rank, alpha, rankStabilized, dropout: dropout.rate, random };
    const adapter = new LoRAAdapter(linear.weight, options, shared.get(a) ?? null);
    shared.set(a, adapter.a);
    attachAdapter(linear, adapter, path);
  }
  const parameters = twin.namedParameters();
  for (const [name, { isFrozen, dtype }] of model.namedParameters()) {
    const own = parameters.get(name);
    if (dtype !== 'bf16') own?.thaw();
    if (isFrozen) own?.freeze();
  }
  return twin;
}
