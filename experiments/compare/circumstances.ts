/** Where the runs of comparison, ablation and study happen: their device, their folder, and what results say of both. */

import { availableParallelism, cpus } from 'node:os';
import { newestUnfinishedRun, newRunPath, RunFolder } from '../../command/run-folder.ts';
import { type Device, type DeviceKind, openDevice } from '../../src/index.ts';
import type { Circumstances } from '../report/sections.ts';
import { basesBeside } from './bases.ts';
import { training } from './protocol.ts';

/** A run that holds its results is over. */
export const resultsFiles = { compare: 'comparison.json', ablate: 'ablation.json', study: 'study.json' } as const;

/** The device of every run. On the cpu they have one thread each: runs go side by side, and their times are to be comparable. */
export function openForRuns(choice: DeviceKind): Promise<Device> {
  return openDevice(choice, { threads: 1 });
}

/** The folder of a run, new or to be gone on with. */
export function openFolder(
  command: keyof typeof resultsFiles,
  { out, resume, quick, shard }: { out: string | null; resume: boolean; quick: boolean; shard?: object | null },
  { kind, adapter }: Device,
  config: object,
  joins = resume,
): RunFolder {
  const path = out ?? (resume ? newestUnfinishedRun(command, resultsFiles[command]) : newRunPath(command));
  const folder = RunFolder[joins ? 'join' : 'create'](path, config);
  // Parts may run at once, on several machines.
  if (resume && !shard) for (const each of [path, basesBeside(path)]) folder.sweep(each);
  console.log(`Run folder: ${path}. Ctrl-C keeps what is done; --resume goes on from there.`);
  console.log(`Device: ${kind} (${adapter})`);
  if (quick) console.log('This is a smoke run: it shows that everything works, and is no evidence of anything.');
  return folder;
}

/** @param model in words. */
export function circumstances(
  { kind, adapter }: Device,
  isQuick: boolean,
  model = `two blocks, width 32, 2 heads, hidden 88, 32 tokens; batch ${training.batch}; AdamW; warm-up and half a cosine`,
): Circumstances {
  return {
    kind: isQuick ? 'smoke' : 'full',
    date: new Date().toISOString().slice(0, 10),
    machine: `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), Node ${process.version}`,
    device: { kind, adapter },
    model,
  };
}
