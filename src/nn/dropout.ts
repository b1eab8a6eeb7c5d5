/** Dropout as a module. */
import { dropout } from '../autograd/operations/dropout.ts';
import { checkRandom } from '../tensor/create.ts';
import { ArgumentError } from '../tensor/errors.ts';
import type { Random } from '../tensor/random.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Module } from './module.ts';

/** Drops elements while training; in evaluation it hands its input on. Each call takes one number from `random`. */
export class Dropout extends Module {
  readonly rate: number;
  /** Each call takes one number from it. */
  readonly random: Random;

  /** @throws ArgumentError for a rate below 0, or of 1 and more. */
  constructor(rate: number, random: Random) {
    super();
    if (!(rate >= 0 && rate < 1)) {
      throw new ArgumentError(`Dropout: rate ${rate} is out of range (allowed: at least 0, below 1)`);
    }
    checkRandom('Dropout', random);
    this.rate = rate;
    this.random = random;
  }

  forward(x: Tensor): Tensor {
    return this.training && this.rate > 0 ? dropout(x, this.rate, this.random.uint32()) : x;
  }
}
