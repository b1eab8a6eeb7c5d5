// Makes a fresh clone ready: the npm packages, then an adapter to run on. Plain JavaScript, as nothing is installed yet.

import { spawnSync } from 'node:child_process';
import { existsSync, linkSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeAdapter, findAdapter } from './find-adapter.mjs';
import { findAptSystem, installCommand, installSoftwareDriver } from './software-driver.mjs';

const repositoryRoot = fileURLToPath(new URL('..', import.meta.url));
const lookEvery = 200;

const help = `node scripts/setup.mjs

Installs the npm packages if they are missing or out of date, then looks for a WebGPU adapter. Where there is none, on
Debian or Ubuntu as root, installs Mesa's software driver. Without an adapter the \`cpu\` device is used. npm start,
npm test, npm run bench and npm run tour run it first.

  FROSTGRAD_NO_DRIVER_INSTALL=1    never install a driver
  VK_DRIVER_FILES=…                the driver to use, as for every Vulkan program; nothing is installed then
`;

/**
 * @typedef {{ version?: string, integrity?: string, optional?: boolean }} LockedPackage
 * @param {Record<string, LockedPackage>} wanted
 * @param {Record<string, LockedPackage>} installed
 */
export function packagesMatch(wanted, installed) {
  return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
    if (path === '') return true;
    const found = installed[path];
    // Optional packages are mostly native code for other platforms.
    if (!found) return optional === true;
    return found.version === version && found.integrity === integrity;
  });
}

/**
 * Runs `work` while no other set-up of this folder does: two `npm ci` at once would take each other's files away.
 *
 * @template T
 * @param {string} root
 * @param {() => T} work
 * @returns {T}
 */
export function alone(root, work) {
  const lock = join(root, '.setup-lock');
  let holder = take(lock);
  if (holder !== null)
    console.log(`setup: waiting for process ${holder}, which sets this folder up (if it does not, remove ${lock})`);
  while (holder !== null) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lookEvery);
    holder = take(lock);
  }
  try {
    return work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/**
 * Takes the lock, or says which process has it. The lock appears together with what it says, and one that a kill left behind
 * holds nobody.
 *
 * @param {string} lock
 * @returns {number | null}
 */
function take(lock) {
  const own = `${lock}.${process.pid}`;
  try {
    writeFileSync(own, String(process.pid));
    for (;;) {
      try {
        linkSync(own, lock);
        return null;
      } catch (error) {
        if (!hasCode(error, 'EEXIST')) throw error;
      }
      const holder = holderOf(lock);
      if (runs(holder)) return holder;
      rmSync(lock, { force: true });
    }
  } catch {
    // In a folder that cannot be written to nobody sets anything up: the work will say so.
    return null;
  } finally {
    rmSync(own, { force: true });
  }
}

/** @param {string} lock */
function holderOf(lock) {
  try {
    return Number(readFileSync(lock, 'utf8'));
  } catch {
    return 0;
  }
}

/** @param {number} pid */
function runs(pid) {
  if (pid === process.pid || !(pid > 0)) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It runs, and belongs to somebody else.
    return hasCode(error, 'EPERM');
  }
}

/**
 * @param {unknown} error
 * @param {string} code
 */
function hasCode(error, code) {
  return error instanceof Error && 'code' in error && error.code === code;
}

function packagesAreInstalled() {
  const installedLock = join(repositoryRoot, 'node_modules', '.package-lock.json');
  if (!existsSync(installedLock)) return false;
  const [wanted, installed] = [join(repositoryRoot, 'package-lock.json'), installedLock].map(
    (file) => JSON.parse(readFileSync(file, 'utf8')).packages,
  );
  return packagesMatch(wanted, installed);
}

function installPackages() {
  console.log('setup: installing the npm packages (npm ci)');
  // Included by name, since NODE_ENV=production or a user's own npm settings would leave them out. No package needs its scripts.
  const commandArguments = ['ci', '--include=dev', '--include=optional', '--ignore-scripts'];
  const npmScript = process.env.npm_execpath ?? '';
  const child = npmScript.endsWith('npm-cli.js')
    ? spawnSync(process.execPath, [npmScript, ...commandArguments], { cwd: repositoryRoot, stdio: 'inherit' })
    : spawnSync(['npm', ...commandArguments].join(' '), { cwd: repositoryRoot, stdio: 'inherit', shell: true });
  return child.status === 0;
}

function buildVectorLoops() {
  const tsx = join(repositoryRoot, 'node_modules', 'tsx', 'dist', 'cli.mjs');
  const script = join(repositoryRoot, 'scripts', 'build-simd.ts');
  return spawnSync(process.execPath, [tsx, script], { cwd: repositoryRoot, stdio: 'inherit' }).status === 0;
}

function adapterOrDriver() {
  const adapter = findAdapter();
  if (adapter) return { adapter, hint: '' };

  const { VK_DRIVER_FILES, VK_ICD_FILENAMES, FROSTGRAD_NO_DRIVER_INSTALL } = process.env;
  if (VK_DRIVER_FILES || VK_ICD_FILENAMES)
    return { adapter, hint: 'VK_DRIVER_FILES or VK_ICD_FILENAMES names the driver' };
  const system = findAptSystem();
  if (!system) return { adapter, hint: 'a Vulkan driver for this machine would give one' };
  if (FROSTGRAD_NO_DRIVER_INSTALL || process.getuid?.() !== 0) {
    return { adapter, hint: `to install a software driver: ${installCommand(system)}` };
  }
  console.log('setup: no WebGPU adapter (FROSTGRAD_NO_DRIVER_INSTALL=1 skips what follows)');
  const failure = alone(repositoryRoot, () => installSoftwareDriver(system));
  return { adapter: findAdapter(), hint: failure ?? 'the software driver is installed, but WebGPU refuses it' };
}

/**
 * A line about a Node whose engine does not join vectors; empty for the others.
 *
 * @param {string} version
 * @param {string} arch
 */
export function nodeHint(version, arch) {
  const isFast = Number(version.split('.')[0]) >= 24 || arch !== 'x64';
  return isFast ? '' : `setup: Node 24 runs the cpu device about twice as fast as this Node ${version}`;
}

function setup() {
  const [major] = process.versions.node.split('.').map(Number);
  if (major < 20) {
    console.error(`setup: Node 20 or newer is needed, this is ${process.version}`);
    return 1;
  }
  if (!packagesAreInstalled() && !alone(repositoryRoot, () => packagesAreInstalled() || installPackages())) {
    console.error('setup: npm ci failed, its own message is above; nothing was started');
    return 1;
  }
  if (!buildVectorLoops()) console.log('setup: the vector loops were not compiled; the cpu device runs plain loops');
  const { adapter, hint: reason } = adapterOrDriver();
  if (adapter) {
    console.log(`setup: adapter ${describeAdapter(adapter)}`);
  } else {
    const ci = process.env.CI === 'true' ? ' Under CI=true the tests count this as a failure.' : '';
    console.log(`setup: no WebGPU adapter, the cpu device will be used (${reason}).${ci}`);
  }
  const hint = nodeHint(process.versions.node, process.arch);
  if (hint) console.log(hint);
  return 0;
}

// Through realpath, or a clone reached by a symbolic link (macOS' /tmp) would set up nothing, and say nothing.
if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--help')) console.log(help);
  else process.exitCode = setup();
}
