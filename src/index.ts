/** The whole public interface of frostgrad, on one page. */

export {
  arange,
  type CreateOptions,
  defaultDevice,
  eye,
  full,
  normal,
  ones,
  setDefaultDevice,
  tensor,
  uniform,
  zeros,
} from './tensor/create.ts';
export { type DebugReport, debugReport, type LiveTensors, type OperationTime } from './tensor/debug.ts';
export { type Device, type MemoryReport, snapshotWork, type WorkReport, workSince } from './tensor/device.ts';
export type { DType, NumericArray } from './tensor/dtype.ts';
export * from './tensor/errors.ts';
export { type DeviceKind, deviceKinds, type OpenDeviceOptions, openDevice } from './tensor/open-device.ts';
export { Random, type RandomState } from './tensor/random.ts';
export { forget, keep, scope, step } from './tensor/scope.ts';
export type { NestedArray, Tensor } from './tensor/tensor.ts';
export type { WebGpuOptions } from './tensor/webgpu/webgpu-device.ts';

import './autograd/methods.ts';

export { type BackwardOptions, backward } from './autograd/backward.ts';
export { checkpoint } from './autograd/checkpoint.ts';
export { type GradcheckOptions, GradientCheckError, gradcheck } from './autograd/gradcheck.ts';
export { Graph, type GraphSummary, traced } from './autograd/graph.ts';
export { gradientOf } from './autograd/leaf-gradient.ts';
export { detach, requireGradient } from './autograd/node.ts';
export { at, type Place } from './autograd/operations/at.ts';
export { type AttentionOptions, attention } from './autograd/operations/attention/attention.ts';
export { expand, flatten, split, squeeze, stack, unsqueeze } from './autograd/operations/axes.ts';
export { cast } from './autograd/operations/cast.ts';
export { type CrossEntropyOptions, crossEntropy } from './autograd/operations/cross-entropy.ts';
export { dropout } from './autograd/operations/dropout.ts';
export { einsum } from './autograd/operations/einsum.ts';
export { embedding } from './autograd/operations/embedding.ts';
export { flip } from './autograd/operations/flip.ts';
export { cumsum } from './autograd/operations/indexing/cumulative-sum.ts';
export { gather, indexSelect, scatterAdd } from './autograd/operations/indexing/gather.ts';
export { type MultinomialOptions, multinomial } from './autograd/operations/indexing/multinomial.ts';
export { oneHot } from './autograd/operations/indexing/one-hot.ts';
export {
  argmax,
  argmin,
  type ExtremeIndexOptions,
  type Sorted,
  type SortOptions,
  sort,
  type TopkOptions,
  topk,
} from './autograd/operations/indexing/order.ts';
export { type LinearCrossEntropyOptions, linearCrossEntropy } from './autograd/operations/linear-cross-entropy.ts';
export { binaryCrossEntropy, type LossOptions, meanSquaredError } from './autograd/operations/losses.ts';
export { type MatmulOptions, matmul } from './autograd/operations/matmul/matmul.ts';
export { layerNorm, type NormOptions, rmsNorm } from './autograd/operations/normalization.ts';
export { type PadOptions, pad } from './autograd/operations/pad.ts';
export * from './autograd/operations/pointwise/pointwise.ts';
export type { Operand } from './autograd/operations/pointwise/row.ts';
export type { ReduceOptions } from './autograd/operations/reduction/reduce-options.ts';
export * from './autograd/operations/reduction/reduction.ts';
export * from './autograd/operations/reduction/statistics.ts';
export { type RotaryOptions, type RotaryScaling, rotary } from './autograd/operations/rotary.ts';
export { logSoftmax, type SoftmaxOptions, softmax } from './autograd/operations/softmax.ts';
export { tril, triu } from './autograd/operations/triangle.ts';
export { broadcastTo, concatenate, permute, reshape, slice, transpose } from './autograd/operations/views.ts';
export { noGrad } from './autograd/record.ts';
export { type Check, GradES, type GradESOptions } from './grades/grades.ts';
export type { PaperRuleOptions } from './grades/paper/paper-rule.ts';
export { ReleasedCode, type ReleasedCodeOptions } from './grades/paper/released-code.ts';
export { PaperVersion1 } from './grades/paper/version-1.ts';
export { PaperVersion3 } from './grades/paper/version-3.ts';
export type { Policy } from './grades/policy.ts';
export {
  type Cause,
  freezeLeftovers,
  isFrozen,
  ParameterRegistry,
  projectionKinds,
  type RegistryEntry,
  type RegistryEvent,
  type Selector,
} from './grades/registry.ts';
export { EarlyStopping, type EarlyStoppingOptions, type StoppingRule } from './grades/rivals/early-stopping.ts';
export { FixedStop, type FixedStopOptions } from './grades/rivals/fixed-stop.ts';
export {
  allAtOnce,
  FreezeList,
  type FreezeListItem,
  type FreezeListOptions,
  fromBelow,
  inRandomOrder,
  inReversedOrder,
} from './grades/rivals/freeze-list.ts';
export { LossPlateau, type LossPlateauOptions } from './grades/rivals/loss-plateau.ts';
export { entrySums } from './grades/signals/entry-sums.ts';
export { gradientChange } from './grades/signals/gradient-change.ts';
export { gradientMagnitude } from './grades/signals/gradient-magnitude.ts';
export { RunningAverage } from './grades/signals/running-average.ts';
export type { Signal } from './grades/signals/signal.ts';
export { splitHalf } from './grades/signals/split-half.ts';
export { weightChange } from './grades/signals/weight-change.ts';
export { AdamW, type AdamWOptions } from './nn/adamw.ts';
export type { BlockModel, Prefix } from './nn/block-model.ts';
export {
  Decoder,
  DecoderBlock,
  type DecoderCall,
  type DecoderConfig,
  type DecoderLossOptions,
  GroupedAttention,
  parameterCount,
  type RotaryPositions,
} from './nn/decoder.ts';
export { Dropout } from './nn/dropout.ts';
export { Embedding } from './nn/embedding.ts';
export { KeyValueCache } from './nn/key-value-cache.ts';
export { Linear, type LinearOptions } from './nn/linear.ts';
export {
  type AddLoRAOptions,
  addLoRA,
  LoRAAdapter,
  type LoRAOptions,
  mergeLoRA,
  type ParameterSelector,
  unmergeLoRA,
} from './nn/lora.ts';
export { type BuildOptions, Module } from './nn/module.ts';
export { LayerNorm, RMSNorm } from './nn/normalization.ts';
export {
  Optimizer,
  type OptimizerOptions,
  type OptimizerState,
  type ParameterGroup,
  type Trained,
} from './nn/optimizer.ts';
export { type FreezeListener, Parameter, type ParameterKind, parameterKinds } from './nn/parameter.ts';
export type { ParameterSum } from './nn/parameter-sum.ts';
export { readSafetensors, writeSafetensors } from './nn/safetensors.ts';
export type { Saved } from './nn/saved.ts';
export { type Schedule, type ScheduleOptions, warmupCosine, warmupLinear } from './nn/schedule.ts';
export { type Layer, Sequential } from './nn/sequential.ts';
export { SGD, type SGDOptions } from './nn/sgd.ts';
export type { StateDict } from './nn/state-dict.ts';
export type { StepReport } from './nn/step-report.ts';
export type { SumWatch } from './nn/sum-watch.ts';
export { Attention, Block, FeedForward, SwiGLU, Transformer, type TransformerConfig } from './nn/transformer.ts';
export { type LoadAdapterOptions, loadAdapter, saveAdapter } from './pretrained/adapter.ts';
export { type GenerateOptions, generate } from './pretrained/generate.ts';
export { type LoadOptions, loadPretrained, type Pretrained } from './pretrained/load.ts';
export type { SamplingOptions } from './pretrained/sampling.ts';
export { type SaveOptions, savePretrained } from './pretrained/save.ts';
export { type ChatMessage, loadTokenizer, TextStream, TextTokenizer } from './pretrained/tokenizer.ts';
export { Checkpoints, readCheckpoint, writeCheckpoint } from './training/checkpoint.ts';
export { FrozenPrefix, type FrozenPrefixOptions } from './training/frozen-prefix.ts';
export {
  checkFits,
  type StepMemory,
  type StepPlan,
  stepMemory,
  type TrainingMemoryOptions,
  trainingMemory,
} from './training/memory.ts';
export { type Operations, type Stateful, Training, type TrainingOptions } from './training/training.ts';
