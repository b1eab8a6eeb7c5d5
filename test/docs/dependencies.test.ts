/** docs/dependencies.md says what the lock file holds. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

interface Locked {
  version: string;
  license: string;
  dev?: boolean;
  hasInstallScript?: boolean;
}

const root = new URL('../../', import.meta.url);
const read = (name: string) => readFileSync(new URL(name, root), 'utf8');
const page = read('docs/dependencies.md');
const { dependencies, devDependencies } = JSON.parse(read('package.json'));
const packages: [string, Locked][] = Object.entries<Locked>(JSON.parse(read('package-lock.json')).packages)
  .filter(([path]) => path !== '')
  .map(([path, locked]) => [path.split('node_modules/').at(-1) ?? '', locked]);
const [atRunTime, toDevelop, licences, scripts] = page.split(/^## .*$/m).slice(1);

test.each([
  ['at run time', dependencies, atRunTime],
  ['to develop', devDependencies, toDevelop],
])('every package needed %s has its version and licence', (_, named: Record<string, string>, section) => {
  const rows = [...section.matchAll(/^\| `(.*?)` \| (.*?) \| (.*?) \| /gm)].map(([, ...cells]) => cells);
  expect(Object.fromEntries(rows.map(([name, version]) => [name, version]))).toEqual(named);
  for (const [name, version, licence] of rows) {
    expect(packages.find(([each, locked]) => each === name && locked.version === version)?.[1].license).toBe(licence);
  }
});

test('what they bring along at run time is named', () => {
  const brought = packages.filter(([name, { dev }]) => !dev && !(name in dependencies));
  for (const [name, { license }] of brought) expect(atRunTime).toMatch(new RegExp(`\`${name}\`.*\\b${license}\\b`));
});

test('licences are counted', () => {
  const counts = new Map<string, number>();
  for (const [, { license }] of packages) counts.set(license, (counts.get(license) ?? 0) + 1);
  const told = [...licences.matchAll(/^- (.*): (\d+)$/gm)].map(([, name, count]) => [name, Number(count)] as const);
  expect(new Map(told)).toEqual(counts);
});

test('every package with an install script is explained', () => {
  const withScript = packages.filter(([, { hasInstallScript }]) => hasInstallScript).map(([name]) => name);
  const told = [...scripts.matchAll(/^- `(.*?)`/gm)].map(([, name]) => name);
  expect([...new Set(withScript)].sort()).toEqual(told.sort());
});
