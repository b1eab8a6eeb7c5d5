import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));

test('the tour page shows what its script prints', () => {
  const tsx = createRequire(import.meta.url).resolve('tsx/cli');
  const printed = execFileSync(process.execPath, [tsx, 'docs/one-training-step.ts'], { cwd: root, encoding: 'utf8' });
  const page = readFileSync(`${root}docs/one-training-step.md`, 'utf8');
  const pieces = printed.split(/\n\n(?:Before|After|Without the prefix|Kept):\n\n/).map((piece) => piece.trim());
  expect(pieces).toHaveLength(5);
  for (const piece of pieces) expect(page).toContain(piece);
});
