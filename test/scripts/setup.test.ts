import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isWhole, seal } from '../../scripts/sealed-module.ts';
import { alone, nodeHint, packagesMatch } from '../../scripts/setup.mjs';
import { deriveBackportsEntry, installCommand, readSystem } from '../../scripts/software-driver.mjs';
import { temporaryFolder } from '../temporary-folder.ts';

const bookworm = { codename: 'bookworm', backports: 'bookworm-backports' };
const sources = (text: string) => [{ name: '/etc/apt/sources.list.d/debian.sources', text }];
const list = (text: string) => [{ name: '/etc/apt/sources.list', text }];

test('a .sources entry keeps its address and its other fields, with the suite swapped', () => {
  const text = `# The main archive
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/archive.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
`;
  expect(deriveBackportsEntry(sources(text), bookworm)).toEqual({
    kind: 'derived',
    name: 'frostgrad-backports.sources',
    text: `Types: deb
Suites: bookworm-backports
Components: main
URIs: http://mirror.example/debian
Signed-By: /usr/share/keyrings/archive.gpg
`,
  });
});

test('a key written into the .sources entry survives', () => {
  const text = `Types: deb
URIs: http://mirror.example/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
`;
  const derived = deriveBackportsEntry(sources(text), bookworm);
  expect(derived.kind === 'derived' && derived.text).toContain(
    'Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n',
  );
});

test('a one-line entry keeps its address and its options', () => {
  const text = `# deb http://old.example/debian bookworm main
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian-security bookworm-security main
deb [arch=amd64 signed-by=/usr/share/keyrings/archive.gpg] http://mirror.example/debian bookworm main contrib # ours
`;
  expect(deriveBackportsEntry(list(text), bookworm)).toEqual({
    kind: 'derived',
    name: 'frostgrad-backports.list',
    text: 'deb [arch=amd64 signed-by=/usr/share/keyrings/archive.gpg] http://mirror.example/debian bookworm-backports main\n',
  });
});

test('nothing is added where backports are configured already', () => {
  const main = 'deb http://mirror.example/debian bookworm main\n';
  const backports = sources(
    'Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n',
  );
  expect(deriveBackportsEntry([...list(main), ...backports], bookworm)).toEqual({ kind: 'present' });
});

test('entries that are off, or lie in another suite or component, are no base', () => {
  const off = 'Enabled: no\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n';
  const other = 'deb http://mirror.example/tools bookworm stable\ndeb http://mirror.example/debian trixie main\n';
  expect(deriveBackportsEntry([...sources(off), ...list(other)], bookworm)).toEqual({ kind: 'missing' });
});

test('only Debian 12 needs backports', () => {
  const debian12 = readSystem('PRETTY_NAME="Debian 12"\nVERSION_CODENAME=bookworm\nID=debian\n');
  const ubuntu = readSystem('ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n');
  expect(debian12).toEqual({ id: 'debian', codename: 'bookworm', backports: 'bookworm-backports' });
  expect(ubuntu).toEqual({ id: 'ubuntu', codename: 'noble', backports: null });
  expect(installCommand(ubuntu)).toBe('sudo apt-get install mesa-vulkan-drivers libvulkan1');
});

test('installed packages match the lock file unless one is missing or differs', () => {
  const wanted = {
    '': { version: '0.1.0' },
    'node_modules/a': { version: '1.0.0', integrity: 'x' },
    'node_modules/b-for-another-platform': { version: '1.0.0', integrity: 'y', optional: true },
  };
  expect(packagesMatch(wanted, { 'node_modules/a': { version: '1.0.0', integrity: 'x' } })).toBe(true);
  expect(packagesMatch(wanted, { 'node_modules/a': { version: '1.0.1', integrity: 'z' } })).toBe(false);
  expect(packagesMatch(wanted, {})).toBe(false);
});

test('a Node whose engine does not join vectors is told of the one that does', () => {
  expect(nodeHint('20.20.2', 'x64')).toBe(
    'setup: Node 24 runs the cpu device about twice as fast as this Node 20.20.2',
  );
  expect(nodeHint('24.21.0', 'x64')).toBe('');
  expect(nodeHint('20.20.2', 'arm64')).toBe('');
});

test('of two set-ups at once one waits; a lock that a kill left, or that was never whole, holds nobody', async () => {
  const folder = temporaryFolder();
  const done = join(folder, 'done');
  const script = `
    import { existsSync, writeFileSync } from 'node:fs';
    import { alone } from ${JSON.stringify(new URL('../../scripts/setup.mjs', import.meta.url).href)};
    alone(${JSON.stringify(folder)}, () => {
      console.log('begins');
      while (!existsSync(${JSON.stringify(done)})) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
      writeFileSync(${JSON.stringify(done)}, 'twice', { flag: 'a' });
    });`;
  const first = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(first.stdout, 'data');
  const second = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  second.stdout.on('data', (chunk) => {
    printed += chunk;
  });
  await once(second.stdout, 'data');
  expect(printed).toContain(`setup: waiting for process ${first.pid}, which sets this folder up`);
  first.kill('SIGKILL');
  await once(first, 'exit');
  writeFileSync(done, 'once ');
  await once(second, 'close');
  expect(printed).toMatch(/begins\n$/);
  expect(readFileSync(done, 'utf8')).toBe('once twice');
  for (const left of ['', '{', '0', String(process.pid)]) {
    writeFileSync(join(folder, '.setup-lock'), left);
    expect(alone(folder, () => existsSync(join(folder, '.setup-lock')))).toBe(true);
  }
  expect(() =>
    alone(folder, () => {
      throw new Error('no network');
    }),
  ).toThrow('no network');
  expect(readdirSync(folder)).toEqual(['done']);
  // Where nothing can be written nobody is locked out.
  expect(alone(join(folder, 'none'), () => 'done')).toBe('done');
});

test('a compiled module that is missing, cut short or changed is built anew', () => {
  const path = join(temporaryFolder(), 'simd.wasm');
  const code = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);
  const whole = Buffer.concat([code, seal(code)]);
  expect(WebAssembly.validate(Uint8Array.from(whole))).toBe(true);
  expect(isWhole(path)).toBe(false);
  for (const [content, expected] of [
    [whole, true],
    [whole.subarray(0, -1), false],
    [code, false],
    [Buffer.alloc(0), false],
    [Uint8Array.from(whole).with(7, 1), false],
  ] as const) {
    writeFileSync(path, content);
    expect(isWhole(path)).toBe(expected);
  }
});
