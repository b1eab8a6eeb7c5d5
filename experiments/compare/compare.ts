/**
 * `npm run compare`: GradES against full training, early stopping, LoRA, and controls that take as many operations. The
 * protocol is in `protocol.ts`, the order of the work in `study.ts`, and what one unit of it does in `arms.ts`.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Device, FrostgradError } from '../../src/index.ts';
import { INTERRUPTED_EXIT_CODE } from '../fragments/interrupt.ts';
import { OptionError } from '../fragments/options.ts';
import { RunFolderError } from '../fragments/run-folder.ts';
import { openForRuns } from './circumstances.ts';
import { type CompareOptions, helpText, parseOptions } from './options.ts';
import * as protocol from './protocol.ts';
import { pictures, reportPage } from './report.ts';
import { newestUnfinished, Store } from './store.ts';
import { Interrupted, Study, UnitsFailed, workerCount } from './study.ts';
import { markdownTables, summaryText } from './tables.ts';

const runsFolder = 'runs';

async function main(options: CompareOptions): Promise<void> {
  const device = await openForRuns(options.device);
  const store = openStore(options, device);
  console.log(`Run folder: ${store.path}. Ctrl-C keeps what is done; --resume goes on from there.`);
  console.log(`Device: ${device.kind} (${device.adapter}), ${workerCount(options, device)} processes side by side.`);
  if (options.quick)
    console.log('This is a smoke run: it shows that everything works, and is no evidence of anything.');
  const comparison = await new Study(options, device, store).run();
  if (!comparison) return;
  const text = `${JSON.stringify(comparison, null, 1)}\n`;
  const page = store.write('report.html', reportPage(comparison));
  for (const [name, svg] of Object.entries(pictures(comparison))) store.write(name, svg);
  store.write('tables.md', markdownTables(comparison));
  store.write('comparison.json', text);
  if (options.json !== null) writeFileSync(options.json, text);
  console.log(`\n${summaryText(comparison)}\n\nThe page with all pictures: ${page}`);
}

function openStore(options: CompareOptions, device: Device): Store {
  const { tasks, arms, steps, merge } = options;
  // Seeds and lengths stay out: they only add units, so a run can be given more of them.
  const config = { protocol, tasks, arms, smokeSteps: steps, device: device.kind, adapter: device.adapter };
  const fresh = join(runsFolder, `compare-${new Date().toISOString().replace(/[:.]/g, '-')}`);
  if (merge.length > 0) {
    const parts = merge.map((path) => Store.read(path));
    const store = Store.open(options.out ?? fresh, config, 'join');
    for (const part of parts) {
      if (part.config !== store.config) {
        throw new RunFolderError(`${part.path} was made with other settings than these: give the options it had`);
      }
      if (part.path !== store.path) store.copyUnitsFrom(part);
    }
    return store;
  }
  const resumed = options.resume ? (options.out ?? newestUnfinished(runsFolder)) : options.out;
  if (options.resume && resumed === null) {
    throw new RunFolderError(`--resume found no unfinished comparison below ${runsFolder}; name its folder with --out`);
  }
  const joins = options.resume || options.shard !== null;
  return Store.open(resumed ?? fresh, config, joins ? 'join' : 'new');
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) console.log(helpText);
  else await main(options);
} catch (error) {
  if (error instanceof Interrupted) {
    console.log('\nInterrupted. Go on with: npm run compare -- --resume (and the same options)');
    process.exitCode = INTERRUPTED_EXIT_CODE;
  } else if (
    error instanceof OptionError ||
    error instanceof RunFolderError ||
    error instanceof UnitsFailed ||
    error instanceof FrostgradError
  ) {
    console.error(error.message);
    process.exitCode = 1;
  } else throw error;
}
