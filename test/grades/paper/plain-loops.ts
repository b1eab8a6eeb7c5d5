/** The rules of the paper against plain loops. */
import fc from 'fast-check';
import { type Check, type Device, gradientOf, type PaperRuleOptions } from '../../../src/index.ts';
import { plainSum } from '../../nn/given-gradients.ts';
import { Training } from '../../nn/tiny.ts';
import type { RuleClass, WatchingRule } from '../scripted.ts';

export const query = 'blocks.0.attention.query.weight';
const key = 'blocks.0.attention.key.weight';
export const one = new RegExp(`^${query}$`);
export const two = new RegExp(`^(${query}|${key})$`);

/** Sums of 30 steps, and what a rule may be set to. */
export const values = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 30, maxLength: 30 });
export const grace = fc.constantFrom(0, 0.01, 0.25, 0.3, 0.5, 0.55, 0.9);
export const tau = fc.integer({ min: 1, max: 21 });

/** The first step whose value is below tau and that may decide, if there is one. */
export function firstBelow(values: readonly number[], tau: number, mayDecide: (step: number) => boolean): number[] {
  const found = values.findIndex((value, i) => value < tau && mayDecide(i + 1));
  return found < 0 ? [] : [found + 1];
}

export function distance(a: ArrayLike<number>, b?: ArrayLike<number>): number {
  return plainSum((x, y) => Math.abs(x - y), a, b);
}

/** Eight steps of a real run under a rule that freezes nothing: its checks, and what it may have looked at. */
export async function follow<Options extends PaperRuleOptions>(
  device: Device,
  rule: RuleClass<WatchingRule, Options>,
  options: Options,
): Promise<{ checks: Check[]; gradients: ArrayLike<number>[]; weights: ArrayLike<number>[] }> {
  const training = new Training(device);
  const policy = new rule(training.registry, training.optimizer, options);
  const checks: Check[] = [];
  policy.onCheck((check) => checks.push(check));
  const parameter = training.parameter(query);
  const gradients: ArrayLike<number>[] = [];
  const weights: ArrayLike<number>[] = [await parameter.data()];
  for (let s = 1; s <= 8; s++) {
    let gradient: Promise<ArrayLike<number>> | undefined;
    await training.step(s, { policy, afterBackward: () => (gradient = gradientOf(parameter)?.data()) });
    gradients.push((await gradient) ?? []);
    weights.push(await parameter.data());
  }
  await policy.end();
  return { checks, gradients, weights };
}
