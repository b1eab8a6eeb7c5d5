import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { helpText, messageOf, OptionError, type Options, parseOptions } from './options.ts';
import { formatStepReport } from './step/report.ts';
import { peersAreInstalled, runStepSuite } from './step/suite.ts';

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

async function run({ device, quick, json }: Options): Promise<void> {
  console.log(
    `step: one training step of a small GPT, to the loss on the host. ${cpus().length} cores, ${cpus()[0]?.model}`,
  );
  if (quick) console.log(QUICK_HINT);
  else if (!peersAreInstalled()) console.log(PEERS_HINT);
  const started = performance.now();
  const log = (line: string) => {
    const seconds = (performance.now() - started) / 1000;
    console.log(`${seconds.toFixed(0).padStart(4)} s  ${line}`);
  };
  const { rows, missing, failed } = await runStepSuite({ device, quick, log });
  console.log(`\n${formatStepReport(rows)}`);
  for (const reason of missing) console.log(`\n${reason}`);
  if (json !== undefined) {
    writeFileSync(json, `${JSON.stringify(rows, null, 2)}\n`);
    console.log(`\n${rows.length} rows are in ${json}`);
  }
  if (failed) process.exitCode = 1;
}
