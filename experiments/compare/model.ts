import { addLoRA, Random, type Transformer } from '../../src/index.ts';
import type { RunSource } from './arms.ts';
import { buildClassifier } from './bases.ts';
import { lora } from './protocol.ts';

/** Stream of the adapters' initial values; the head's are drawn from another. */
const adapterStream = 21;

/**
 * The classifier that an arm trains: the base with a fresh head. With adapters the base stays as it is, and the head
 * trains beside them, because the base has none for this task.
 */
export async function buildModel(
  { device, task, base, seed, adapters }: RunSource,
  perturb: number,
): Promise<Transformer> {
  const model = await buildClassifier(task, device, seed, base, { perturb });
  if (adapters) addLoRA(model, { ...lora, random: new Random(seed, adapterStream), alsoTrain: ['head'] });
  return model;
}
