// Installs Mesa's software Vulkan driver (lavapipe) on Debian and Ubuntu, for machines without a GPU.

import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const packages = ['mesa-vulkan-drivers', 'libvulkan1'];
const aptFolder = '/etc/apt';
const timeLimit = 10 * 60_000;

/**
 * @typedef {{ name: string, text: string }} SourceFile
 * @typedef {{ suites: string[], types: string[], components: string[], swapSuite: (suite: string) => string }} AptEntry
 * @typedef {{ id: string, codename: string, backports: string | null }} System
 */

/** @param {string} text of /etc/os-release */
export function readSystem(text) {
  const fields = Object.fromEntries(
    [...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, key, value]) => [key, value.trim().replace(/^(["'])(.*)\1$/, '$2')]),
  );
  const id = fields.ID ?? '';
  const codename = fields.VERSION_CODENAME ?? '';
  // Debian 12's own Mesa (22.3) lacks features that Dawn requires; everything newer is good enough.
  const backports = id === 'debian' && codename === 'bookworm' ? 'bookworm-backports' : null;
  return { id, codename, backports };
}

/** @param {string} text one deb822 stanza @returns {AptEntry | null} */
function parseStanza(text) {
  // A field goes on over the lines that start with a space: Signed-By may hold a whole key.
  const fields = text
    .split('\n')
    .filter((line) => line.trim() && !line.startsWith('#'))
    .join('\n')
    .split(/\n(?=\S)/);
  /** @param {string} name */
  const values = (name) => {
    const field = fields.find((each) => each.toLowerCase().startsWith(`${name}:`));
    return field
      ? field
          .slice(name.length + 1)
          .trim()
          .split(/\s+/)
      : [];
  };
  if (values('enabled')[0]?.toLowerCase() === 'no') return null;
  const kept = fields.filter((field) => !/^(types|suites|components):/i.test(field));
  return {
    types: values('types'),
    suites: values('suites'),
    components: values('components'),
    swapSuite: (suite) => ['Types: deb', `Suites: ${suite}`, 'Components: main', ...kept, ''].join('\n'),
  };
}

/** @param {string} text one line of a .list file @returns {AptEntry | null} */
function parseLine(text) {
  const match = /^\s*(deb(?:-src)?)\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(text);
  if (!match) return null;
  const [, type, options = '', address, suite, components] = match;
  return {
    types: [type],
    suites: [suite],
    components: components.trim().split(/\s+/),
    swapSuite: (newSuite) => `deb ${options}${address} ${newSuite} main\n`,
  };
}

/**
 * The apt entry for the backports suite, made from the entry this machine already has for its main suite.
 * @param {SourceFile[]} files
 * @param {{ codename: string, backports: string }} system
 * @returns {{ kind: 'present' } | { kind: 'missing' } | { kind: 'derived', name: string, text: string }}
 */
export function deriveBackportsEntry(files, { codename, backports }) {
  const entries = files.flatMap(({ name, text }) => {
    const isDeb822 = name.endsWith('.sources');
    const parsed = isDeb822 ? text.split(/\n[ \t]*\n/).map(parseStanza) : text.split('\n').map(parseLine);
    return parsed
      .filter((entry) => entry?.types.includes('deb'))
      .map((entry) => ({ isDeb822, .../** @type {AptEntry} */ (entry) }));
  });
  if (entries.some(({ suites }) => suites.includes(backports))) return { kind: 'present' };
  const main = entries.find(({ suites, components }) => suites.includes(codename) && components.includes('main'));
  if (!main) return { kind: 'missing' };
  const name = `frostgrad-backports.${main.isDeb822 ? 'sources' : 'list'}`;
  return { kind: 'derived', name, text: main.swapSuite(backports) };
}

/** @returns {SourceFile[]} */
function readSourceFiles() {
  const parts = join(aptFolder, 'sources.list.d');
  const inParts = existsSync(parts) ? readdirSync(parts).filter((name) => /\.(list|sources)$/.test(name)) : [];
  return [join(aptFolder, 'sources.list'), ...inParts.sort().map((name) => join(parts, name))]
    .filter((name) => existsSync(name))
    .map((name) => ({ name, text: readFileSync(name, 'utf8') }));
}

/** @returns {System | null} the system, if this is one where the driver can be installed with apt */
export function findAptSystem() {
  if (process.platform !== 'linux' || !existsSync('/usr/bin/apt-get') || !existsSync('/etc/os-release')) return null;
  const system = readSystem(readFileSync('/etc/os-release', 'utf8'));
  return system.id === 'debian' || system.id === 'ubuntu' ? system : null;
}

/** @param {System} system */
export function installCommand(system) {
  if (system.backports) return 'sudo "$(command -v node)" scripts/setup.mjs';
  return `sudo apt-get install ${packages.join(' ')}`;
}

/** @param {System} system @returns {string | null} what went wrong, or null */
export function installSoftwareDriver(system) {
  const logFile = join(tmpdir(), `frostgrad-driver-${process.pid}.log`);
  let addedFile = null;
  if (system.backports) {
    const entry = deriveBackportsEntry(readSourceFiles(), { codename: system.codename, backports: system.backports });
    if (entry.kind === 'missing') return `apt has no entry for ${system.codename} to derive ${system.backports} from`;
    if (entry.kind === 'derived') {
      addedFile = join(aptFolder, 'sources.list.d', entry.name);
      writeFileSync(addedFile, entry.text);
      console.log(`setup: added ${addedFile} (${system.backports}, from this machine's own apt address)`);
    }
  }
  console.log(`setup: installing ${packages.join(' and ')} with apt-get, log in ${logFile}`);
  const fromSuite = system.backports ? ['-t', system.backports] : [];
  const log = openSync(logFile, 'w');
  const failed = [['update'], ['install', '-y', '--no-install-recommends', ...fromSuite, ...packages]].find(
    (step) =>
      spawnSync('apt-get', ['-o', 'Acquire::http::Timeout=20', '-o', 'DPkg::Lock::Timeout=120', ...step], {
        env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
        stdio: ['ignore', log, log],
        timeout: timeLimit,
      }).status !== 0,
  );
  closeSync(log);
  if (!failed) return null;
  // A suite that the mirror does not carry would break every later apt-get update.
  if (addedFile) rmSync(addedFile);
  return `apt-get ${failed[0]} failed, see ${logFile}`;
}
