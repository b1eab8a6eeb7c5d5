/** The GPT that everyone trains, in frostgrad. Query, key and value are matrices of their own; the peers fuse them. */

import type { Device, StateDict } from '../../src/index.ts';
import { Gpt, type GptOptions } from '../gpt.ts';
import { type Case, initialWeights, type Matrix, workload } from './workload.ts';

/** The parameters that a case freezes. */
const frozenNames: Record<Case, RegExp | null> = {
  none: null,
  early: /^(tokens|positions|blocks\.0)\./,
  late: /^(blocks\.1|norm|head)\./,
  most: /^(tokens|positions|blocks\.0)\.|^blocks\.1\.(attention|feedForwardNorm|feedForward\.up)/,
};

/** With the weights that all implementations start from. */
export function smallGpt(device: Device, options?: GptOptions): Gpt {
  const gpt = new Gpt(device, workload, options);
  gpt.model.loadStateDict(sharedWeights());
  return gpt;
}

export function freeze({ model }: Gpt, part: Case): void {
  for (const [name, parameter] of model.namedParameters()) {
    if (frozenNames[part]?.test(name)) parameter.freeze();
  }
}

/** By our names. Gains are left as they are. */
function sharedWeights(): StateDict {
  const { width } = workload;
  const { tokens, positions, head, blocks } = initialWeights();
  const gain = { shape: [width], data: new Float32Array(width).fill(1) };
  const state: StateDict = {
    'tokens.table': tokens,
    'positions.table': positions,
    'norm.gain': gain,
    'head.weight': head,
  };
  for (const [i, { queryKeyValue, output, up, down }] of blocks.entries()) {
    for (const [third, name] of ['query', 'key', 'value'].entries()) {
      state[`blocks.${i}.attention.${name}.weight`] = columns(queryKeyValue, third * width, width);
    }
    state[`blocks.${i}.attention.output.weight`] = output;
    state[`blocks.${i}.feedForward.up.weight`] = up;
    state[`blocks.${i}.feedForward.down.weight`] = down;
    state[`blocks.${i}.attentionNorm.gain`] = gain;
    state[`blocks.${i}.feedForwardNorm.gain`] = gain;
  }
  return state;
}

function columns({ shape: [rows, width], data }: Matrix, first: number, count: number): Matrix {
  const cut = new Float32Array(rows * count);
  for (let row = 0; row < rows; row++) {
    cut.set(data.subarray(row * width + first, row * width + first + count), row * count);
  }
  return { shape: [rows, count], data: cut };
}
