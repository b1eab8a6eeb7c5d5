import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { randomBelow } from '../../../experiments/data/random.ts';
import { temporaryFolder, writeFiles } from '../../temporary-folder.ts';

const script = fileURLToPath(new URL('../../../experiments/fragments/start.ts', import.meta.url));

/** Runs `npm start`; `watch` is called every few milliseconds. */
async function start(options: readonly string[], watch?: (child: ChildProcess) => void) {
  const child = spawn(process.execPath, ['--import', 'tsx', script, ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
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

/** What a run left, without its command line and the times and the memory that it took. */
function leftIn(folder: string) {
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  const timeless = (_: string, value: unknown) => {
    const {
      arguments: line,
      seconds,
      milliseconds,
      peakBytes,
      reservedBytes,
      reservedBuffers,
      ...rest
    } = Object(value);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? rest : value;
  };
  return {
    config: JSON.parse(read('config.json'), timeless),
    summary: JSON.parse(read('summary.json'), timeless),
    log: read('log.jsonl')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line, timeless)),
  };
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

test('a run that is interrupted, killed and resumed ends like an undisturbed one, bit for bit', async () => {
  const [data, folder] = [madeUpFiles(), temporaryFolder()];
  const [whole, broken] = [join(folder, 'whole'), join(folder, 'broken')];
  const options = ['--data', data, '--steps', '60', '--seed', '3', '--device', 'cpu'];
  expect((await start([...options, '--out', whole])).code).toBe(0);
  const expected = leftIn(whole);
  expect(expected.summary.grades.freezes.length).toBeGreaterThan(0);
  expect(expected.summary.full.curve.length).toBeGreaterThan(9);

  const endAfterLogged = (arm: string, signal: NodeJS.Signals) => (child: ChildProcess) => {
    const log = join(broken, 'log.jsonl');
    if (!child.killed && existsSync(log) && readFileSync(log, 'utf8').includes(`"arm":"${arm}","step":20,`)) {
      child.kill(signal);
    }
  };
  const interrupted = await start([...options, '--out', broken], endAfterLogged('grades', 'SIGINT'));
  expect(interrupted.code).toBe(130);
  expect(interrupted.printed).toContain(`Interrupted. Go on with: npm start -- --resume ${broken}`);
  const killed = await start(['--resume', broken], endAfterLogged('full', 'SIGKILL'));
  expect(killed.killedBy).toBe('SIGKILL');
  const json = join(folder, 'results.json');
  const resumed = await start(['--resume', broken, '--json', json]);
  expect(resumed.code).toBe(0);
  expect(resumed.printed).not.toMatch(/^grades {2}\d/m);
  expect(leftIn(broken)).toEqual(expected);
  expect(JSON.parse(readFileSync(json, 'utf8'))).toEqual(
    JSON.parse(readFileSync(join(broken, 'summary.json'), 'utf8')),
  );
});

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
  expect(noData).toContain('none does not exist; wanted: a folder with one sub-folder');
  expect(help).toMatch(/^0: .*0\.45.*0\.3/s);
});
