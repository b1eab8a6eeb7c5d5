/**
 * `npm run compare`: GradES against full training, early stopping, LoRA, the paper's own rules, and controls that take as many
 * operations. The protocol is in `protocol.ts`, the arms in `arms.ts`, the order of the work in `study.ts`.
 */

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { runCommand } from '../../command/run.ts';
import { newestUnfinishedRun, newRunPath, RunFolder, RunFolderError, toJson } from '../../command/run-folder.ts';
import type { Device } from '../../src/index.ts';
import { writeReport } from '../report/sections.ts';
import { openForRuns } from './circumstances.ts';
import { type CompareOptions, parseOptions } from './options.ts';
import * as protocol from './protocol.ts';
import { comparisonDocument } from './report.ts';
import { UnitStore } from './store.ts';
import { Study } from './study.ts';
import { loadPolicy } from './user-policy.ts';
import { workerCount } from './work.ts';

const resultsFile = 'comparison.json';

await runCommand(async () => {
  const options = parseOptions(process.argv.slice(2));
  if (!options) return;
  if (options.policy !== null) await loadPolicy(options.policy);
  const device = await openForRuns(options.device);
  const store = openStore(options, device);
  const { folder } = store;
  console.log(`Run folder: ${folder.path}. Ctrl-C keeps what is done; --resume goes on from there.`);
  console.log(
    `Device: ${device.kind} (${device.adapter}), ${workerCount(options.workers, device)} processes side by side.`,
  );
  if (options.quick) {
    console.log('This is a smoke run: it shows that everything works, and is no evidence of anything.');
  }
  const comparison = await new Study(options, device, store).run();
  if (!comparison) return;
  writeReport(folder, comparisonDocument(comparison));
  folder.writeJson(resultsFile, comparison);
  if (options.json !== null) writeFileSync(options.json, toJson(comparison));
});

function openStore(options: CompareOptions, device: Device): UnitStore {
  const { tasks, arms, steps, merge, policy, resume, shard, out } = options;
  // Seeds and lengths stay out: they only add units, so a run can be given more of them.
  const config = {
    ...{ protocol, tasks, arms, smokeSteps: steps, device: device.kind, adapter: device.adapter, policy },
    policyHash: policy === null ? null : createHash('sha256').update(readFileSync(policy)).digest('hex'),
  };
  const joins = resume || shard !== null || merge.length > 0;
  const path = out ?? (resume ? newestUnfinishedRun('compare', resultsFile) : newRunPath('compare'));
  const folder = joins ? RunFolder.join(path, config) : RunFolder.create(path, config);
  const store = new UnitStore(folder);
  for (const part of merge.map((each) => RunFolder.open(each))) {
    if (toJson({ config: part.config }) !== toJson({ config: folder.config })) {
      throw new RunFolderError(`${part.path} was made with other settings than these: give the options it had`);
    }
    if (part.path !== folder.path) store.copyFrom(part);
  }
  return store;
}
