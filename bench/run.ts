import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { attentionSuite } from './attention/suite.ts';
import { freezeSuite } from './freeze/suite.ts';
import { growthSuite } from './growth/suite.ts';
import { peersAreInstalled } from './implementations.ts';
import { largeSuite } from './large/suite.ts';
import { lessonSuite } from './lesson/suite.ts';
import { matmulSuite } from './matmul/suite.ts';
import { memorySuite } from './memory/suite.ts';
import {
  benchDevices,
  helpText,
  messageOf,
  OptionError,
  type Options,
  parseOptions,
  type SuiteName,
} from './options.ts';
import { overheadSuite } from './overhead/suite.ts';
import { precisionSuite } from './precision/suite.ts';
import { stepSuite } from './step/suite.ts';
import type { Suite } from './suite.ts';
import { tuneSuite } from './tune/suite.ts';
import { watchSuite } from './watch/suite.ts';

const suites: Readonly<Record<SuiteName, Suite>> = {
  matmul: matmulSuite,
  attention: attentionSuite,
  step: stepSuite,
  freeze: freezeSuite,
  watch: watchSuite,
  memory: memorySuite,
  overhead: overheadSuite,
  growth: growthSuite,
  precision: precisionSuite,
  large: largeSuite,
  lesson: lessonSuite,
  tune: tuneSuite,
};

const PEERS_HINT = 'peers: not installed, so not measured. To install them and measure again: npm run bench:peers';
const QUICK_HINT =
  'quick: few samples, no repeats, no peers. It checks that the benchmark works; it is no measurement.';

try {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) console.log(helpText);
  else await run(options);
} catch (error) {
  if (!(error instanceof OptionError)) throw error;
  console.error(messageOf(error));
  process.exitCode = 2;
}

async function run({ suite: name, device, quick, json }: Options): Promise<void> {
  const suite = suites[name];
  const { devices = benchDevices } = suite;
  if (device && !devices.includes(device)) {
    throw new OptionError(`${name} runs on ${devices.join(' and ')}: --device must not be ${device}`);
  }
  console.log(`${name}: ${suite.title}. ${cpus().length} cores, ${cpus()[0]?.model}`);
  if (quick) console.log(QUICK_HINT);
  else if (suite.hasPeers && !peersAreInstalled()) console.log(PEERS_HINT);
  const started = performance.now();
  const log = (line: string) => {
    const seconds = (performance.now() - started) / 1000;
    console.log(`${seconds.toFixed(0).padStart(4)} s  ${line}`);
  };
  const { rows, missing, failed } = await suite.run({ device, quick, log });
  console.log(`\n${suite.format(rows)}`);
  for (const reason of missing) console.log(`\n${reason}`);
  if (json !== undefined) {
    writeFileSync(json, `${JSON.stringify(rows, null, 2)}\n`);
    console.log(`\n${rows.length} rows are in ${json}`);
  }
  if (failed) process.exitCode = 1;
}
