/** An ablation that lost a run goes on to what it was; its errors name its own help. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, test, vi } from 'vitest';
import type { Ablation } from '../../../experiments/compare/results.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

vi.setConfig({ testTimeout: 300_000 });

const script = fileURLToPath(new URL('../../../experiments/ablate/ablate.ts', import.meta.url));
const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

function run(cwd: string, ...words: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', loader, script, ...words], {
    cwd,
    encoding: 'utf8',
  });
  return { status, printed: stdout + stderr };
}

test('an ablation that lost a run goes on to what it was', () => {
  const folder = temporaryFolder();
  const options = ['--quick', '--steps', '20', '--task', 'contains', '--signals', 'gradient', '--device', 'cpu'];
  const rows = () => {
    const { arms }: Ablation = JSON.parse(readFileSync(join(folder, 'run', 'ablation.json'), 'utf8'));
    return arms.map((run) => ({ ...run, timing: null, memory: [] }));
  };
  const { status, printed } = run(folder, ...options, '--out', 'run');
  expect(status, printed).toBe(0);
  const whole = rows();
  expect(whole.map(({ arm }) => arm)).toEqual([
    'full',
    ...[0.5, 0.7, 0.9].map((threshold) => `gradient threshold-${threshold} grace-0.3`),
  ]);
  const units = join(folder, 'run', 'units');
  const lost = readdirSync(units).filter((file) => file.includes('threshold-0.7'));
  expect(lost).toHaveLength(1);
  rmSync(join(units, lost[0]!));
  rmSync(join(folder, 'run', 'ablation.json'));
  expect(run(folder, ...options, '--out', 'run')).toMatchObject({
    status: 1,
    printed: expect.stringContaining('holds a run already'),
  });
  expect(run(folder, ...options, '--out', 'run', '--resume').status).toBe(0);
  expect(readdirSync(units)).toHaveLength(4);
  expect(rows()).toEqual(whole);
});

test('errors name the help of the ablation', () => {
  const { status, printed } = run(temporaryFolder(), '--signals', 'loss');
  expect(status).toBe(2);
  expect(printed).toMatch(
    /^--signals must be one of split-half, gradient, .*, got 'loss'\nAll options: npm run ablate -- --help/,
  );
});
