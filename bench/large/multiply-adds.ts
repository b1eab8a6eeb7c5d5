/** Multiply-adds in registers: what an adapter computes at most. */

import { type Device, type Tensor, zeros } from '../../src/index.ts';
import { dispatch } from '../../src/tensor/dispatch.ts';
import { kernel } from '../../src/tensor/kernel.ts';
import { libraryOperation } from '../library-operation.ts';
import type { Operation, OperationCase } from '../measure-operations.ts';
import { peakName } from './workload.ts';

const multiplyAddsPerRound = 64;
const factor = 0.5;
const term = 0.25;

const multiplyAddsKernel = kernel({
  name: 'multiply-adds',
  operands: { result: 'write' },
  scalars: { rounds: 'u32', factor: 'f32', term: 'f32' },
  wgsl: { file: '../bench/large/multiply_adds' },
  reference({ result }, { rounds, factor, term }) {
    for (let i = 0; i < result.length; i++) {
      let sum = 0;
      for (let chain = 0; chain < 8; chain++) {
        let x = i * 1e-6 + chain / 10;
        for (let round = 0; round < (multiplyAddsPerRound / 8) * rounds; round++) x = x * factor + term;
        sum += x;
      }
      result[i] = sum;
    }
  },
});

export function multiplyAdds(result: Tensor, rounds: number): void {
  const flops = 2 * multiplyAddsPerRound * rounds * result.size;
  dispatch(multiplyAddsKernel, {
    operands: { result },
    scalars: { rounds, factor, term },
    workgroups: [result.size / 64, 1, 1],
    flops,
  });
}

/** What an adapter does at most: all of its units kept busy, nothing read. Enough threads to fill the largest card. */
export function multiplyAddsCase(device: Device): OperationCase & { build(): Operation } {
  const [threads, rounds] = device.software ? [4096, 2048] : [1 << 20, 1024];
  return {
    ...{ name: peakName, flops: 2 * multiplyAddsPerRound * rounds * threads },
    build() {
      const result = zeros([threads], { device });
      return libraryOperation(device, [result], () => multiplyAdds(result, rounds));
    },
  };
}
