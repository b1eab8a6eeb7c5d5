/** What a family of models says about itself: how its configuration is read, and what its tensors are called. */
import type { DecoderConfig } from '../nn/decoder.ts';
import type { ConfigReader } from './config.ts';

/** One tensor of the file, and the parameters of ours that it holds. */
export interface StoredWeight {
  /** Its name in the file. */
  readonly name: string;
  /** Paths of our parameters. Where there are several, the file has them fused, one after the other along their outputs. */
  readonly parameters: readonly string[];
  /** Whether the file has it as (outputs, inputs). Ours are (inputs, outputs). */
  readonly isTransposed: boolean;
}

export interface Family {
  /** What `architectures` in config.json says. */
  readonly architecture: string;
  readonly readConfig: (reader: ConfigReader) => DecoderConfig;
  readonly weights: (config: DecoderConfig) => StoredWeight[];
}

/** A linear layer: its weight, and its bias where it has one. */
export function linear(
  name: string,
  modules: string | readonly string[],
  { bias, isTransposed = true }: { bias: boolean; isTransposed?: boolean },
): StoredWeight[] {
  const paths = typeof modules === 'string' ? [modules] : modules;
  const part = (kind: 'weight' | 'bias', isTransposed: boolean) => ({
    name: `${name}.${kind}`,
    parameters: paths.map((path) => `${path}.${kind}`),
    isTransposed,
  });
  return bias ? [part('weight', isTransposed), part('bias', false)] : [part('weight', isTransposed)];
}

/** A tensor that is stored as ours is. */
export function same(name: string, parameter: string): StoredWeight {
  return { name, parameters: [parameter], isTransposed: false };
}

/** Of every block in turn. */
export function ofBlocks(blocks: number, weights: (block: number) => StoredWeight[]): StoredWeight[] {
  return Array.from({ length: blocks }, (_, i) => weights(i)).flat();
}
