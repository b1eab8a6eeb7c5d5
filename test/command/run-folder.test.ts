import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test, vi } from 'vitest';
import { newestUnfinishedRun, newRunPath, RunFolder, RunFolderError, writeResults } from '../../command/run-folder.ts';
import { temporaryFolder, writeFiles } from '../temporary-folder.ts';

test('everything is on disk as soon as it was said, as a crash would find it', () => {
  const path = join(temporaryFolder(), 'runs/first');
  const folder = RunFolder.create(path, { seed: 1 });
  const read = (name: string) => readFileSync(join(path, name), 'utf8');
  expect(JSON.parse(read('config.json'))).toEqual({ seed: 1 });

  folder.log({ step: 1, loss: 1.5 });
  folder.log({ step: 2, loss: 1.4 });
  expect(read('log.jsonl')).toBe('{"step":1,"loss":1.5}\n{"step":2,"loss":1.4}\n');

  folder.writeJson('summary.json', { accuracy: 0.86 });
  expect(folder.readJson('summary.json')).toEqual({ accuracy: 0.86 });
  expect(folder.write('units/one.json', '{}')).toBe(join(path, 'units/one.json'));
  expect([folder.list('units'), folder.list('none')]).toEqual([['one.json'], []]);
  folder.close();
  folder.close();
  expect(readdirSync(path).sort()).toEqual(['config.json', 'log.jsonl', 'summary.json', 'units']);
});

test('a folder that is gone is an error, and is not made again with a part of what it held', () => {
  const path = join(temporaryFolder(), 'run');
  const folder = RunFolder.create(path, { seed: 1 });
  folder.log({ step: 1 });
  rmSync(path, { recursive: true });
  expect(() => folder.log({ step: 2 })).toThrow(/cannot write .*log\.jsonl \(it was removed\)/);
  expect(() => folder.write('units/one.json', '{}')).toThrow(/cannot write .*one\.json \(ENOENT\)/);
  expect(existsSync(path)).toBe(false);
  folder.close();
});

test.skipIf(!existsSync('/dev/full'))('a full disk is told, and what was written before it stays whole', () => {
  const path = temporaryFolder();
  const folder = RunFolder.create(path, { seed: 1 });
  symlinkSync('/dev/full', join(path, 'log.jsonl'));
  expect(() => folder.log({ step: 1 })).toThrow(/cannot write .*log\.jsonl \(ENOSPC\)/);
  symlinkSync('/dev/full', join(path, `summary.json.${process.pid}.unfinished`));
  folder.write('plan.json', '{}');
  expect(() => folder.writeJson('summary.json', {})).toThrow(/cannot write .*summary\.json \(ENOSPC\)/);
  expect(() => writeResults('/dev/full', {})).toThrow('cannot write /dev/full (ENOSPC)');
  folder.close();
  expect(readdirSync(path).sort()).toEqual(['config.json', 'log.jsonl', 'plan.json']);
});

test('where a run cannot write it says how to go on, if there is what to go on from', async () => {
  const path = join(temporaryFolder(), 'run');
  const folder = RunFolder.create(path, { seed: 1 });
  const told = vi.spyOn(console, 'error').mockImplementation(() => {});
  const write = () => folder.sayingHow('Go on with: again', () => folder.write('none/units/one.json', '{}'));
  try {
    await expect(write()).rejects.toThrow(RunFolderError);
    expect(told.mock.calls).toEqual([[expect.stringContaining('Go on with: again, once it can be written.')]]);
    await expect(folder.sayingHow('', () => Promise.reject(new TypeError('a fault')))).rejects.toThrow('a fault');
    rmSync(path, { recursive: true });
    await expect(write()).rejects.toThrow(RunFolderError);
    expect(told).toHaveBeenCalledTimes(1);
  } finally {
    told.mockRestore();
  }
});

test('a folder has one run at a time, and a run that was killed does not keep it', async () => {
  const path = temporaryFolder();
  const lock = join(path, 'lock.json');
  const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const holder = { process: other.pid, machine: hostname() };
  RunFolder.create(path, { seed: 1 }).close();
  expect(existsSync(lock)).toBe(false);
  writeFileSync(lock, JSON.stringify(holder));
  writeFileSync(join(path, `summary.json.${other.pid}.unfinished`), '{');
  const folder = RunFolder.open(path);
  expect(() => folder.claim()).toThrow(`${path} is in use by process ${other.pid} on ${hostname()}`);
  other.kill('SIGKILL');
  await once(other, 'exit');
  folder.claim();
  expect(readdirSync(path).sort()).toEqual(['config.json', 'lock.json']);
  expect(JSON.parse(readFileSync(lock, 'utf8'))).toEqual({ process: process.pid, machine: hostname() });
  folder.close();
  for (const empty of ['', '{}', 'null']) {
    writeFileSync(lock, empty);
    expect(() => folder.claim()).not.toThrow();
  }
  writeFileSync(lock, JSON.stringify({ process: 1, machine: 'elsewhere' }));
  expect(() => folder.claim()).toThrow(`in use by process 1 on elsewhere: end that first`);
});

test('of processes that claim a folder at the same moment one has it, also where a killed run left its lock', async () => {
  const folder = temporaryFolder();
  const rounds = Array.from({ length: 120 }, (_, i) => join(folder, String(i)));
  const gone = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
  await once(gone, 'exit');
  for (const [i, path] of rounds.entries()) {
    if (i % 4 === 0) continue;
    const lock = { process: gone.pid, machine: hostname() };
    writeFiles(path, { 'config.json': '{}', 'lock.json': JSON.stringify(lock) });
  }
  // Each tries them one after the other, as the clock says, and lives until all have tried: what one has it has for good.
  const script = `
    import { RunFolder, RunFolderError } from './command/run-folder.ts';
    const [start, ...rounds] = process.argv.slice(1);
    const won = [];
    rounds.forEach((path, i) => {
      while (Date.now() < Number(start) + 8 * i);
      try {
        if (i % 4 === 0) RunFolder.create(path, {});
        else RunFolder.open(path).claim();
        won.push(path);
      } catch (error) {
        if (!(error instanceof RunFolderError)) throw error;
      }
    });
    console.log(JSON.stringify(won));
    process.stdin.resume();`;
  const start = String(Date.now() + 3000);
  const processes = Array.from({ length: 4 }, () =>
    spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script, start, ...rounds], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      stdio: ['pipe', 'pipe', 'inherit'],
    }),
  );
  const won = await Promise.all(
    processes.map(async ({ stdout }): Promise<string[]> => JSON.parse(String((await once(stdout, 'data'))[0]))),
  );
  for (const { stdin } of processes) stdin.end();
  expect(won.flat().sort()).toEqual([...rounds].sort());
}, 300_000);

test('a run that goes on finds its configuration and cuts what was logged after its checkpoint', () => {
  const path = temporaryFolder();
  const folder = RunFolder.create(path, { seed: 1 });
  folder.log({ step: 1 });
  const bytes = folder.logBytes;
  folder.log({ step: 2 });
  folder.close();
  const again = RunFolder.open(path);
  expect(again.config).toEqual({ seed: 1 });
  again.cutLog(bytes);
  again.log({ step: 3 });
  again.close();
  expect(readFileSync(join(path, 'log.jsonl'), 'utf8')).toBe('{"step":1}\n{"step":3}\n');
});

test('a folder that holds a run is not written over', () => {
  const path = temporaryFolder();
  RunFolder.create(path, { seed: 1 });
  expect(() => RunFolder.create(path, { seed: 2 })).toThrow(RunFolderError);
  expect(() => RunFolder.create(path, { seed: 2 })).toThrow(`${path} holds a run already`);
  expect(RunFolder.open(path).config).toEqual({ seed: 1 });
});

test('join goes on with a run of the same settings, begins one, and refuses another', () => {
  const path = temporaryFolder();
  RunFolder.join(path, { seed: 1, arms: ['full'], out: undefined });
  expect(RunFolder.join(path, { arms: ['full'], seed: 1 }).config).toEqual({ seed: 1, arms: ['full'] });
  expect(() => RunFolder.join(path, { seed: 2, arms: ['full'] })).toThrow(`${path} holds a run with other settings`);
});

test('what cannot be read or made is named', () => {
  const path = temporaryFolder();
  writeFileSync(join(path, 'file'), 'text');
  expect(() => RunFolder.create(join(path, 'file/run'), {})).toThrow(/cannot make .*file\/run \(ENOTDIR\)/);
  expect(() => RunFolder.create(join(path, 'file'), {})).toThrow(/cannot make .*file \(EEXIST\)/);
  expect(() => RunFolder.open(path)).toThrow(`${path} holds no run: it has no config.json`);
  const folder = RunFolder.create(path, {});
  expect(() => folder.readJson('none.json')).toThrow(/cannot read .*none\.json \(ENOENT\)/);
  folder.write('half.json', '{"a":');
  expect(() => folder.readJson('half.json')).toThrow(/half\.json is damaged/);
});

test('the newest unfinished run of a command is found', () => {
  const here = temporaryFolder();
  const runs = join(here, 'runs');
  mkdirSync(runs);
  for (const name of ['compare-1', 'compare-2', 'compare-3', 'ablate-9']) RunFolder.create(join(runs, name), {});
  RunFolder.open(join(runs, 'compare-3')).write('comparison.json', '{}');
  mkdirSync(join(runs, 'compare-4'));
  expect(newestUnfinishedRun('compare', 'comparison.json', runs)).toBe(join(runs, 'compare-2'));
  expect(() => newestUnfinishedRun('start', 'summary.json', runs)).toThrow('there is no unfinished run of start below');
  expect(newRunPath('compare')).toMatch(/^runs\/compare-\d{4}-/);
});
