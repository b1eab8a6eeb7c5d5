import { expect, test } from 'vitest';
import { nodeHint, packagesMatch } from '../../scripts/setup.mjs';
import { deriveBackportsEntry, installCommand, readSystem } from '../../scripts/software-driver.mjs';

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
