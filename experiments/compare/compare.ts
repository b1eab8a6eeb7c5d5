/**
 * `npm run compare`: GradES against full training, early stopping, LoRA, the paper's own rules, and controls that take as many
 * operations. The protocol is in `protocol.ts`, the arms in `arms.ts`, the order of the work in `study.ts`.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { runCommand } from '../../command/run.ts';
import { RunFolder, RunFolderError, toJson } from '../../command/run-folder.ts';
import { openForRuns } from './circumstances.ts';
import { parseOptions } from './options.ts';
import * as protocol from './protocol.ts';
import { comparisonDocument } from './report.ts';
import { armUnits, UnitStore } from './store.ts';
import { study } from './study.ts';
import { loadPolicy } from './user-policy.ts';
import { finish, openFolder } from './work.ts';

await runCommand(async () => {
  const options = parseOptions(process.argv.slice(2));
  if (!options) return;
  const { tasks, arms, steps, merge, policy, resume, shard, json } = options;
  if (policy !== null) await loadPolicy(policy);
  const device = await openForRuns(options.device);
  // Seeds and lengths stay out: they only add units, so a run can be given more of them.
  const settings = {
    ...{ protocol, tasks, arms, smokeSteps: steps, policy },
    policyHash: policy === null ? null : createHash('sha256').update(readFileSync(policy)).digest('hex'),
  };
  const folder = openFolder('compare', options, device, settings, resume || shard !== null || merge.length > 0);
  const store = new UnitStore(folder, armUnits);
  for (const part of merge.map((each) => RunFolder.open(each))) {
    if (toJson({ config: part.config }) !== toJson({ config: folder.config })) {
      throw new RunFolderError(`${part.path} was made with other settings than these: give the options it had`);
    }
    if (part.path !== folder.path) store.copyFrom(part);
  }
  const comparison = await study(options, device, store);
  if (comparison) finish('compare', folder, comparisonDocument(comparison), comparison, json);
});
