/**
 * `npm run compare`: GradES against full training, early stopping, LoRA, the paper's own rules, and controls that take as many
 * operations. The protocol is in `protocol.ts`, the arms in `arms.ts`, the units of each phase in `plan.ts`; each phase takes from
 * the folder what is done already.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { runCommand } from '../../command/run.ts';
import { RunFolder, RunFolderError, toJson } from '../../command/run-folder.ts';
import type { Device } from '../../src/index.ts';
import { writeReport } from '../report/sections.ts';
import { circumstances, openFolder, openForRuns, resultsFiles } from './circumstances.ts';
import { type CompareOptions, parseOptions } from './options.ts';
import {
  armsUnits,
  calibrationUnits,
  chooseSetting,
  learningRateUnits,
  lengthUnits,
  planTasks,
  quickTaskPlans,
  shardOf,
  timingUnits,
  tuningUnits,
} from './plan.ts';
import * as protocol from './protocol.ts';
import { comparisonDocument } from './report.ts';
import type { Comparison } from './results.ts';
import { armUnits, UnitStore } from './store.ts';
import { loadTask, type TaskName } from './tasks.ts';
import type { Rules, Unit } from './units.ts';
import { armNameOf, loadPolicy } from './user-policy.ts';
import { Work } from './work.ts';

await runCommand(async () => {
  const options = parseOptions(process.argv.slice(2));
  if (!options) return;
  const { tasks, arms, steps, merge, policy, resume, shard, json } = options;
  if (policy !== null) await loadPolicy(policy);
  const device = await openForRuns(options.device);
  // Seeds and lengths stay out: they only add units, so a run can be given more of them.
  const config = {
    ...{ protocol, tasks, arms, smokeSteps: steps, policy },
    policyHash: policy === null ? null : createHash('sha256').update(readFileSync(policy)).digest('hex'),
    ...{ device: device.kind, adapter: device.adapter },
  };
  const folder = openFolder('compare', options, device, config, resume || shard !== null || merge.length > 0);
  const store = new UnitStore(folder, armUnits);
  for (const part of merge.map((each) => RunFolder.open(each))) {
    if (toJson({ config: part.config }) !== toJson({ config: folder.config })) {
      throw new RunFolderError(`${part.path} was made with other settings than these: give the options it had`);
    }
    if (part.path !== folder.path) store.copyFrom(part);
  }
  const work = new Work({ command: 'compare', device, store, smokeSteps: steps, onlyMerges: merge.length > 0 });
  await work.toItsEnd(async () => {
    const comparison = await compare(options, device, folder, work);
    if (!comparison) return;
    const document = comparisonDocument(comparison);
    writeReport(folder, document, { file: resultsFiles.compare, results: comparison, json });
  });
});

/**
 * Phase after phase. Null where the options end the run before its tables.
 *
 * @throws Interrupted, and CommandError where units failed; what is done is kept.
 */
async function compare(
  options: CompareOptions,
  device: Device,
  folder: RunFolder,
  work: Work,
): Promise<Comparison | null> {
  const { tasks, quick, steps, seeds, shard, until, policy, merge, workers } = options;
  const perform = (label: string, units: readonly Unit[]) => work.perform(label, units, workers);
  if (merge.length === 0) await work.pretrain(tasks);
  const rates = await perform('choosing learning rates', quick ? [] : learningRateUnits(tasks));
  const lengths = await perform('choosing schedule lengths', quick ? [] : lengthUnits(tasks, rates));
  const sweep = [...rates, ...lengths];
  const plans = steps === null ? planTasks(tasks, sweep) : quickTaskPlans(tasks, steps);
  const tuning = await perform('choosing the setting of the rule', quick ? [] : tuningUnits(plans));
  const calibrated = await perform('calibrating the rules of the paper', calibrationUnits(plans, options));
  const setting = chooseSetting(tuning);
  const thresholdsOf = (task: string) =>
    Object.fromEntries(
      calibrated.filter((each) => each.task === task).map(({ arm, threshold }) => [arm, Number(threshold)]),
    );
  const calibrations = plans.map(({ task }) => ({ task, thresholds: thresholdsOf(task) }));
  console.log(
    `What was fixed before any reported run: ${folder.writeJson('plan.json', { plans, setting, calibrations })}`,
  );
  if (until) return null;

  const rule = protocol.ruleSettings[setting];
  const settings = { 'full+grades': rule, 'lora+grades': rule };
  const rulesOf = (task: TaskName): Rules => ({ settings, thresholds: thresholdsOf(task), policy });
  const arms = await perform('training the arms', shardOf(armsUnits(plans, rulesOf, options), shard));
  const timing = shardOf(timingUnits(plans, rulesOf, options), shard);
  const timings = await work.perform('timing, one arm at a time', timing, 1);
  if (shard) {
    console.log(`Part ${shard.index} of ${shard.count} is done. When all are: npm run compare -- --merge …`);
    return null;
  }
  return {
    ...circumstances(device, quick),
    seeds,
    policy: policy === null ? null : { arm: armNameOf(policy), file: policy },
    omissions: omissions(options),
    tasks: plans.map(({ task, steps, learningRate }) => {
      const { name, base, character, description, classes } = loadTask(task);
      const tuning = protocol.tuningTasks.includes(task) && !quick;
      const paperThresholds = thresholdsOf(task);
      return { name, base, character, description, classes, steps, learningRate, tuning, paperThresholds };
    }),
    ...{ arms, timings, sweep, tuning, setting },
  };
}

/** What was left out and no table shows. */
function omissions({ quick, lengths, tasks }: CompareOptions): string[] {
  if (quick) return ['Smoke run: schedules, learning rates and the rule were not chosen from data.'];
  const missing = protocol.lengthFactors.filter((factor) => !lengths.includes(factor));
  const tuned = protocol.tuningTasks.some((name) => tasks.includes(name));
  return [
    ...(tuned ? [] : ['No tuning task took part, so the rule ran with its default setting.']),
    ...(missing.length > 0 ? [`Schedules of ${missing.join(' and ')} times the task's own length were not run.`] : []),
    "The controls, the paper's rules and the null arm were not run on the tuning tasks.",
  ];
}
