/** `npm run bench`: measures a suite, prints what came out, and writes the rows as JSON where it is asked to. */

import { cpus } from 'node:os';
import { flag, OptionError, oneOf, outputFile, readOptions } from '../command/options.ts';
import { runCommand } from '../command/run.ts';
import { writeResults } from '../command/run-folder.ts';
import { peersAreInstalled } from './peers.ts';
import { perform } from './perform.ts';
import { commonNotes, devicesOf } from './report.ts';
import { toRows } from './row.ts';
import { benchDevices } from './suite.ts';
import { loadSuite, suiteTitles } from './suites.ts';

const command = 'npm run bench';

await runCommand(async () => {
  const options = readOptions({
    command,
    about: 'Measures frostgrad, and beside it the peers where they are installed.',
    argv: process.argv.slice(2),
    positional: { name: 'suite', values: suiteTitles },
    options: {
      json: outputFile({ help: 'also write the rows to this file' }),
      device: oneOf(benchDevices, {
        placeholder: benchDevices.join('|'),
        help: 'only this device (default: all there are)',
      }),
      quick: flag({ help: 'few samples, no repeats, no peers: a check that it works, not a measurement' }),
    },
    notes:
      'npm run bench:peers installs the peers in bench/peers and runs matmul, attention and step. From then on the suites measure ' +
      'them too. PyTorch is one more where python3 has it; the environment variable PYTHON names another Python.',
  });
  if (!options) return;
  const { suite: name, device, quick, json } = options;
  const suite = await loadSuite(name);
  const { devices = benchDevices } = suite;
  if (device && !devices.includes(device)) {
    throw new OptionError(`--device must be ${devices.join(' or ')} for the suite ${name}, got '${device}'`, command);
  }
  console.log(`${name}: ${suiteTitles[name]}. ${cpus().length} cores, ${cpus()[0]?.model}`);
  if (quick) console.log('quick: a check that the benchmark works, not a measurement');
  else if (suite.peers?.suffix !== undefined && !peersAreInstalled()) {
    console.log('peers: not installed, so not measured. To install them and measure again: npm run bench:peers');
  }
  const started = performance.now();
  const log = (line: string) =>
    console.log(`${((performance.now() - started) / 1000).toFixed(0).padStart(4)} s  ${line}`);
  const { measured, missing, failed } = await perform(name, suite, { device, quick, log });
  const rows = toRows(name, measured);
  if (rows.length > 0) {
    const sections = [devicesOf(rows), ...(await suite.report(rows)), commonNotes(rows)];
    console.log(`\n${sections.filter((section) => section !== '').join('\n\n')}`);
  }
  for (const reason of missing) console.log(`\n${reason}`);
  if (json !== null) {
    writeResults(json, rows);
    console.log(`\n${rows.length} rows are in ${json}`);
  }
  if (failed) process.exitCode = 1;
});
