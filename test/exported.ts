/** The names of all operations that src/index.ts exports: those of autograd, and the ways of making tensors. */
import { readFileSync } from 'node:fs';
import * as pointwise from '../src/autograd/operations/pointwise/pointwise.ts';
import * as reduction from '../src/autograd/operations/reduction/reduction.ts';
import * as statistics from '../src/autograd/operations/reduction/statistics.ts';

export function exportedOperations(): readonly string[] {
  const index = readFileSync(new URL('../src/index.ts', import.meta.url), 'utf8');
  const from = index.matchAll(/^export \{([^}]*)\} from '\.\/(?:autograd\/operations|tensor\/create)[^']*';/gms);
  const listed = [...from].flatMap(([, list]) => list.split(',').map((name) => name.trim()));
  const named = listed.filter((name) => /^[a-z]/.test(name) && !name.startsWith('type ') && !/device/i.test(name));
  return [...named, ...Object.keys({ ...pointwise, ...reduction, ...statistics })];
}
