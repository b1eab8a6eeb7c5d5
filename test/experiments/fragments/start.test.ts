import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { randomBelow } from '../../../experiments/data/random.ts';
import { readCheckpoint, readSafetensors, writeCheckpoint } from '../../../src/index.ts';
import { savedArray, savedObject } from '../../../src/nn/saved.ts';
import { temporaryFolder, writeFiles } from '../../temporary-folder.ts';
import { differences, outcome, startTarget, torment } from '../../torture/kills.ts';

const script = fileURLToPath(new URL('../../../experiments/fragments/start.ts', import.meta.url));

/** Runs `npm start`; `watch` is called every few milliseconds. */
async function start(
  options: readonly string[],
  watch?: (child: ChildProcess) => void,
  environment: Readonly<Record<string, string>> = {},
) {
  const child = spawn(process.execPath, ['--import', 'tsx', script, ...options], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      printed += chunk;
    });
  }
  const watching = setInterval(() => watch?.(child), 2);
  const [code, killedBy] = await once(child, 'close');
  clearInterval(watching);
  return { printed, code, killedBy };
}

function madeUpFiles(): string {
  const folder = temporaryFolder();
  for (const [name, letters] of Object.entries({ ada: 'abcdefgh \n', basic: 'efghijkl{}', cobol: 'ghijklmn01' })) {
    for (let file = 0; file < 24; file++) {
      const content = Array.from(
        { length: 3000 },
        (_, i) => letters[randomBelow(letters.length, file, letters.length, i)],
      );
      writeFiles(folder, { [`${name}/${file}.txt`]: content.join('') });
    }
  }
  return folder;
}

test('runs that are killed or interrupted, and resumed, end like an undisturbed one, bit for bit', async () => {
  const [data, folder] = [madeUpFiles(), temporaryFolder()];
  const target = startTarget('--data', data, '--steps', '60', '--seed', '3');
  const found = await torment(target, { folder, kills: 3, seed: 1 });
  expect(found).toMatchObject({ faults: [], kills: [{}, {}, {}] });
  const expected = outcome(join(folder, 'undisturbed', 'run'));
  const { grades, full } = JSON.parse(readFileSync(join(folder, 'undisturbed', 'run', 'summary.json'), 'utf8'));
  expect(grades.freezes.length).toBeGreaterThan(0);
  expect(full.curve.length).toBeGreaterThan(9);

  const [broken, json] = [join(folder, 'broken'), join(folder, 'results.json')];
  const interrupted = await start(target.begin(broken), (child) => {
    const log = join(broken, 'log.jsonl');
    if (!child.killed && existsSync(log) && readFileSync(log, 'utf8').includes('"arm":"full","step":20,')) {
      child.kill('SIGINT');
    }
  });
  expect(interrupted.code).toBe(130);
  expect(interrupted.printed).toContain(`Interrupted. Go on with: npm start -- --resume ${broken}`);
  const resumed = await start(['--resume', broken, '--json', json]);
  expect(resumed.code).toBe(0);
  expect(resumed.printed).not.toMatch(/^grades {2}\d/m);
  // The checkpoint of the interruption stands among the last two.
  const others = differences(expected, outcome(broken)).filter((each) => !each.startsWith('checkpoint-full-'));
  expect(others).toEqual([]);
  expect(readFileSync(json, 'utf8')).toBe(readFileSync(join(broken, 'summary.json'), 'utf8'));
}, 300_000);

/** Writes other numbers into a weight of the newest checkpoint of a run. */
async function change(run: string, name: string, value: number): Promise<void> {
  const path = join(
    run,
    readdirSync(run)
      .filter((file) => file.startsWith('checkpoint-grades'))
      .sort()
      .at(-1) ?? '',
  );
  const saved = savedObject(path, await readCheckpoint(path));
  const model = savedObject(path, saved.model);
  const { shape, data } = savedObject(path, model[name]);
  const changed = { shape, data: savedArray(path, data).map(() => value) };
  await writeCheckpoint(path, { ...saved, model: { ...model, [name]: changed } });
}

test('NaN ends a run: told by name, nothing frozen for it, the last good step kept', async () => {
  const [data, run] = [madeUpFiles(), join(temporaryFolder(), 'run')];
  await start(['--data', data, '--steps', '60', '--device', 'cpu', '--out', run], (child) => {
    if (existsSync(join(run, 'checkpoint-grades-000000012.safetensors'))) child.kill('SIGKILL');
  });
  const weight = 'blocks.1.feedForward.up.weight';
  await change(run, weight, Number.NaN);
  const before = outcome(run);
  const ended = await start(['--resume', run]);
  expect(ended.code).toBe(1);
  const [, step, parameter, broken] =
    /after step (\d+) are in \S+\.\nthe gradient of (\S+) became NaN or infinite in step (\d+)/.exec(ended.printed) ??
    [];
  expect(parameter).toBeDefined();
  expect(Number(broken)).toBe(Number(step) + 1);
  expect(ended.printed).not.toMatch(/froze \w/);
  const { state, metadata } = readSafetensors(readFileSync(join(run, 'last-good-grades.safetensors')));
  expect(metadata.step).toBe(step);
  for (const [name, { data }] of Object.entries(state)) expect(data.every(Number.isFinite), name).toBe(name !== weight);
  const after = new Map(outcome(run));
  after.delete('last-good-grades.safetensors');
  expect(differences(before, after)).toEqual([]);

  // What overflows is named by its operation too, where that is asked for.
  await change(run, weight, 3e38);
  const debugged = await start(['--resume', run], undefined, { FROSTGRAD_DEBUG: '1' });
  expect(debugged.code).toBe(1);
  expect(debugged.printed).toMatch(/^matmul\b.*: gave .*infinite values .*\bblocks\.1\.feedForward\.up\.weight f32/m);
}, 300_000);

test('what a command line cannot mean is said at once', async () => {
  const folder = temporaryFolder();
  const lines = [
    ['--resume', folder],
    ['--resume', folder, '--steps', '5'],
    ['--data', join(folder, 'none')],
    ['--help'],
  ];
  const ends = await Promise.all(lines.map((line) => start(line)));
  const [noRun, contradiction, noData, help] = ends.map(({ code, printed }) => `${code}: ${printed}`);
  expect(noRun).toContain(`1: ${folder} holds no run`);
  expect(contradiction).toContain('2: --steps and --resume contradict each other');
  expect(noData).toMatch(/^1: cannot read .*none \(ENOENT\)/);
  expect(help).toMatch(/^0: .*0\.45.*0\.3/s);
});
