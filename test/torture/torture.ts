/** `npm run torture`: what the tests try a little of, tried for minutes or hours. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CommandError } from '../../command/error.ts';
import { listOf, OptionError, oneOf, outputFile, readOptions, wholeNumber } from '../../command/options.ts';
import { Progress } from '../../command/progress.ts';
import { runCommand } from '../../command/run.ts';
import { writeResults } from '../../command/run-folder.ts';
import { openDevice } from '../../src/index.ts';
import { judgeFiles } from './hostile-files.ts';
import { compareTarget, finetuneTarget, startTarget, type Target, torment } from './kills.ts';
import { runPrograms } from './programs.ts';
import { drawSoak, type Soaked, soak } from './soak.ts';

const targets: Readonly<Record<string, (folder: string) => Target>> = {
  start: () => startTarget('--steps', '60', '--seed', '3'),
  finetune: finetuneTarget,
  compare: compareTarget,
};

const devices = ['cpu', 'webgpu'] as const;

const count = (help: string) => wholeNumber({ from: 1, to: 1e7, help });

const command = {
  command: 'npm run torture',
  about:
    'Does to the library and its commands what a bad night does. Each number asks for one kind of it; at least one must be given.',
  options: {
    kills: count('kill commands so often at random moments, resume them, and compare their ends bit for bit'),
    targets: listOf(oneOf(Object.keys(targets), {}), {
      default: ['start'],
      help: 'the commands that --kills kills, the kills shared among them',
    }),
    files: count('have so many changed safetensors, checkpoints and indices read'),
    programs: count('run so many random programs on each device, held against f64'),
    soak: wholeNumber({
      ...{ from: 1600, to: 1e9 },
      help: 'train so many steps on each device with freezes, thaws, evaluations, checkpoints; nothing may grow',
    }),
    devices: listOf(oneOf(devices, {}), { default: devices, help: 'that --programs and --soak run on' }),
    seed: wholeNumber({ from: 0, to: 2 ** 32 - 1, default: 1, help: 'the same numbers and seed try the same' }),
    json: outputFile({ help: 'also write what was found to this file' }),
    picture: outputFile({ help: 'draw what --soak sampled in this SVG file' }),
  },
  notes:
    'The exit status is 1 where anything was wrong; each fault is a line. What a fault was found in is kept, and its folder named.',
} as const;

await runCommand(async () => {
  const options = readOptions({ ...command, argv: process.argv.slice(2) });
  if (!options) return;
  const { seed, kills, files, programs, soak: steps } = options;
  if (kills === null && files === null && programs === null && steps === null) {
    throw new OptionError('at least one number must be given, such as --kills 50', command.command);
  }
  const folder = mkdtempSync(join(tmpdir(), 'frostgrad-torture-'));
  const faults: string[] = [];
  const results: Record<string, object> = {};
  const tell = (name: string, found: { readonly faults: readonly string[] }, words: string) => {
    results[name] = found;
    faults.push(...found.faults);
    console.log(`${name}: ${words}, ${found.faults.length === 0 ? 'no fault' : `${found.faults.length} faults`}`);
    for (const each of found.faults) console.log(`  ${each}`);
  };
  if (kills !== null) {
    const each = Math.ceil(kills / options.targets.length);
    for (const name of options.targets) {
      const around = join(folder, name);
      mkdirSync(around);
      const target = targets[name](around);
      const found = await counted(`kills of ${name}`, each, (onKill) =>
        torment(target, { folder: around, kills: each, seed, onKill }),
      );
      tell(`kills of ${name}`, found, `${found.kills.length} kills, ${found.ends} runs resumed to their end`);
    }
  }
  if (files !== null) {
    const found = await counted('files', files, (onFile) =>
      judgeFiles(files, { folder: join(folder, 'files'), seed, onFile }),
    );
    tell('files', found, `${found.files} files, refused ${found.refused} times, read ${found.read} times`);
  }
  if (programs !== null) {
    for (const kind of options.devices) {
      const device = await openDevice(kind);
      const found = await counted(`programs on ${kind}`, programs, (onProgram) =>
        runPrograms(programs, { device, seed, onProgram }),
      );
      tell(
        `programs on ${kind}`,
        found,
        `${found.programs} programs, ${found.values} operations as in f64, ${found.refused} refused`,
      );
    }
  }
  if (steps !== null) {
    const runs: Soaked[] = [];
    for (const kind of options.devices) {
      const device = await openDevice(kind);
      const found = await counted(`soak on ${kind}`, steps, (onStep) =>
        soak(steps, { device, folder: join(folder, `soak-${kind}`), onStep }),
      );
      runs.push(found);
      const { freezes, thaws, evaluations, checkpoints } = found.done;
      const words = `${freezes} freezes, ${thaws} thaws, ${evaluations} evaluations, ${checkpoints} checkpoints`;
      tell(`soak on ${kind}`, found, `${steps} steps, ${words}`);
    }
    if (options.picture !== null) writeFileSync(options.picture, drawSoak(runs));
  }
  if (options.json !== null) writeResults(options.json, { seed, node: process.version, ...results });
  if (faults.length === 0) rmSync(folder, { recursive: true });
  else throw new CommandError(`${faults.length} faults; what they were found in: ${folder}`);
});

/** Shows how much of the work is done. */
async function counted<T>(
  label: string,
  total: number,
  work: (onDone: (done: number) => void) => Promise<T>,
): Promise<T> {
  const progress = new Progress({ label, total });
  try {
    return await work((done) => progress.update(done, [{ text: `${done}/${total}`, importance: 1 }]));
  } finally {
    progress.end();
  }
}
