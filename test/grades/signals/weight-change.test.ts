/** Σ |w − w at the last check|, weight decay included. */
import { afterEach } from 'vitest';
import { weightChange } from '../../../src/index.ts';
import { plainSum } from '../../nn/given-gradients.ts';
import { releaseMade } from '../../nn/tiny.ts';
import { type Seen, testAgainstPlainLoops } from './plain-loops.ts';

afterEach(releaseMade);

const plain = ({ now, weightsBefore }: Seen) => {
  const value = plainSum((x, y) => Math.abs(x - y), now.after, weightsBefore);
  return { value, size: value };
};

testAgainstPlainLoops(weightChange, plain);
testAgainstPlainLoops(weightChange, plain, 3);
