/** Σ |g_t − g_(t−1)|, with g_0 = 0. */
import { afterEach } from 'vitest';
import { gradientChange } from '../../../src/index.ts';
import { plainSum } from '../../nn/given-gradients.ts';
import { releaseMade } from '../../nn/tiny.ts';
import { type Seen, testAgainstPlainLoops } from './plain-loops.ts';

afterEach(releaseMade);

const plain = ({ now, last }: Seen) => {
  const value = plainSum((x, y) => Math.abs(x - y), now.gradient, last?.gradient);
  return { value, size: value };
};

testAgainstPlainLoops(gradientChange, plain);
testAgainstPlainLoops(gradientChange, plain, 2);
