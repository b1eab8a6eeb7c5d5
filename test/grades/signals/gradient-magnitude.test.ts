/** Σ |g|. */
import { afterEach } from 'vitest';
import { gradientMagnitude } from '../../../src/index.ts';
import { plainSum } from '../../nn/given-gradients.ts';
import { releaseMade } from '../../nn/tiny.ts';
import { type Seen, testAgainstPlainLoops } from './plain-loops.ts';

afterEach(releaseMade);

const plain = ({ now }: Seen) => {
  const value = plainSum(Math.abs, now.gradient);
  return { value, size: value };
};

testAgainstPlainLoops(gradientMagnitude, plain);
testAgainstPlainLoops(gradientMagnitude, plain, 2);
