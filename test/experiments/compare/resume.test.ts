/** A comparison that was killed, or shared out, comes to what an undisturbed one does. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Comparison } from '../../../experiments/compare/results.ts';

const script = fileURLToPath(new URL('../../../experiments/compare/compare.ts', import.meta.url));
/** The program itself, and not one that starts it: a kill must hit it. */
const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const small = ['--quick', '--steps', '24', '--tasks', 'contains', '--arms', 'full,full+grades,lora'];
const options = [...small, '--device', 'cpu', '--workers', '1'];

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let folder: string;
let undisturbed: Comparison;
const children: ChildProcess[] = [];

/** Starts the command in the folder of this test, where the base of the first run serves all. */
function start(...words: readonly string[]) {
  const child = spawn(process.execPath, ['--import', loader, script, ...words], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  return child;
}

async function run(...words: readonly string[]): Promise<{ code: number; printed: string }> {
  const child = start(...words);
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      printed += chunk;
    });
  }
  const [code] = await once(child, 'close');
  return { code, printed };
}

/**
 * What a comparison found. Times are no part of that, nor are the few bytes that a process keeps for constants of what it
 * trained before.
 */
function found(name: string): Comparison {
  const read: Comparison = JSON.parse(readFileSync(join(folder, name, 'comparison.json'), 'utf8'));
  const roughly = (bytes: number) => Math.round(bytes / 4096);
  const arms = read.arms.map((arm) => ({
    ...arm,
    memory: arm.memory.map(({ step, value }) => ({ step, value: roughly(value) })),
  }));
  return { ...read, date: '', timings: [], arms };
}

const unitsOf = (name: string) => {
  const path = join(folder, name, 'units');
  return existsSync(path) ? readdirSync(path).filter((file) => file.endsWith('.json')) : [];
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'frostgrad-compare-'));
  const { code, printed } = await run(...options, '--out', 'whole');
  expect(code, printed).toBe(0);
  expect(printed).toContain('no evidence of anything');
  undisturbed = found('whole');
});
afterAll(() => {
  // None outlives a test that ran out of time.
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

test('an undisturbed run holds every arm, and its page', () => {
  expect(undisturbed.arms.map(({ arm }) => arm).sort()).toEqual(['full', 'full+grades', 'lora']);
  expect(undisturbed.kind).toBe('smoke');
  for (const name of ['report.html', 'tables.md', 'plan.json']) {
    expect(existsSync(join(folder, 'whole', name)), name).toBe(true);
  }
  expect(existsSync(join(folder, 'whole', 'lock.json'))).toBe(false);
});

test('killed in the middle and resumed, it is the undisturbed one', async () => {
  const child = start(...options, '--out', 'killed');
  const ended = once(child, 'close');
  const onTheWay = () => readdirSync(join(folder, 'killed')).filter((file) => file.endsWith('.checkpoint'));
  while (child.exitCode === null && (unitsOf('killed').length === 0 || onTheWay().length === 0))
    await new Promise((done) => setTimeout(done, 5));
  child.kill('SIGKILL');
  await ended;
  expect(existsSync(join(folder, 'killed', 'comparison.json'))).toBe(false);
  expect(await run(...options, '--out', 'killed')).toMatchObject({
    code: 1,
    printed: expect.stringContaining('go on with it'),
  });
  // What a killed process had begun to write goes.
  const unfinished = join(folder, 'bases', 'sequences.safetensors.99999999.unfinished');
  writeFileSync(unfinished, '');
  expect((await run(...options, '--out', 'killed', '--resume')).code).toBe(0);
  expect(existsSync(unfinished)).toBe(false);
  expect(onTheWay()).toEqual([]);
  expect(found('killed')).toEqual(undisturbed);
});

test('three workers side by side come to what one does', async () => {
  const arms = ['full', 'full+grades'];
  const side = ['--arms', arms.join(), '--workers', '3', '--seeds', '1,2,3', '--out', 'three'];
  const { code, printed } = await run(...options, ...side);
  expect(code, printed).toBe(0);
  const three = found('three').arms;
  expect(three).toHaveLength(6);
  expect(three.filter(({ seed }) => seed === 1)).toEqual(undisturbed.arms.filter(({ arm }) => arms.includes(arm)));
});

test('a folder that goes away in the middle ends the run, and every worker', async () => {
  const child = start(...options, '--workers', '2', '--seeds', '1,2', '--out', 'lost/run');
  let printed = '';
  child.stderr.on('data', (chunk) => {
    printed += chunk;
  });
  const ended = once(child, 'close');
  while (!existsSync(join(folder, 'lost', 'run', 'plan.json')) && child.exitCode === null) {
    await new Promise((done) => setTimeout(done, 20));
  }
  rmSync(join(folder, 'lost', 'run'), { recursive: true });
  writeFileSync(join(folder, 'lost', 'run'), 'no folder');
  const [code] = await ended;
  expect(code).toBe(1);
  // A checkpoint on the way, or the unit at its end.
  expect(printed).toMatch(/^(cannot write )?lost\/run\/\S+ .*\(ENOTDIR/);
});

test("a user's rule is an arm; a file that holds none is told before anything is trained", async () => {
  const example = fileURLToPath(new URL('../../../experiments/compare/example-policy.ts', import.meta.url));
  const { code, printed } = await run(...options, '--policy', example, '--out', 'own');
  expect(code, printed).toBe(0);
  const { arms, policy } = found('own');
  expect(policy).toEqual({ arm: 'example-policy', file: example });
  expect(arms.map(({ arm }) => arm)).toEqual(expect.arrayContaining(['example-policy', 'example-policy-plain-stop']));
  expect(arms.filter(({ arm }) => ['full', 'full+grades', 'lora'].includes(arm))).toEqual(
    undisturbed.arms.map((arm) => arm),
  );
  expect(printed).toMatch(/^example-policy +example-policy-plain-stop/m);

  writeFileSync(join(folder, 'empty.mjs'), '');
  expect(await run(...options, '--policy', 'empty.mjs', '--out', 'empty')).toMatchObject({
    code: 2,
    printed: expect.stringContaining('must export a function by default'),
  });
  expect(existsSync(join(folder, 'empty'))).toBe(false);
});

test('in two parts, merged, it is the undisturbed one; a part that is missing is named', async () => {
  for (const part of ['1', '2']) {
    expect((await run(...options, '--shard', `${part}/2`, '--out', `part-${part}`)).code).toBe(0);
  }
  expect(await run(...options, '--merge', 'part-1', '--out', 'lacking')).toMatchObject({
    code: 1,
    printed: expect.stringMatching(/the folders to merge lack \d+ units?, such as \w+_contains/),
  });
  expect((await run(...options, '--merge', 'part-1,part-2', '--out', 'merged')).code).toBe(0);
  expect(found('merged')).toEqual(undisturbed);
});
