/** What may import what, and which files keep a state of their own. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const folders = ['src', 'command', 'experiments', 'bench', 'page'].filter((folder) => existsSync(join(root, folder)));
/** From the bottom to the top: a file imports from its own layer and from those below. */
const layers = ['tensor', 'autograd', 'nn', 'pretrained', 'grades', 'training', 'index.ts'];

const texts = new Map(
  folders
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
    )
    .filter((path) => /\.m?[jt]s$/.test(path) && !/node_modules|^bench\/peers|^page\/dist/.test(path))
    .map((path) => [path, readFileSync(join(root, path), 'utf8')]),
);

/** Paths of this repository that a file imports, types too: a circle of types is as hard to read. */
function importsOf(path: string): string[] {
  const found = (texts.get(path) ?? '').matchAll(
    /^(?:import|export)\b[^;'"]*?from '(\.[^']+)'|\bimport\(?\s*'(\.[^']+)'/gm,
  );
  return [...found].map(([, from, whole]) => normalize(join(dirname(path), (from ?? whole).replace(/\?\w+$/, ''))));
}

function layerOf(path: string): number {
  return layers.indexOf(path.split('/')[1]);
}

/** A way from a file back to itself, or null. */
function circle(): string[] | null {
  const done = new Set<string>();
  const walk = (path: string, way: readonly string[]): string[] | null => {
    if (way.includes(path)) return [...way.slice(way.indexOf(path)), path];
    if (done.has(path)) return null;
    for (const next of importsOf(path)) {
      const found = walk(next, [...way, path]);
      if (found) return found;
    }
    done.add(path);
    return null;
  };
  for (const path of texts.keys()) {
    const found = walk(path, []);
    if (found) return found;
  }
  return null;
}

test('the imports are found', () => {
  expect(texts.size).toBeGreaterThan(100);
  expect(importsOf('src/tensor/tensor.ts')).toContain('src/tensor/copy.ts');
  expect(importsOf('src/index.ts')).toContain('src/autograd/methods.ts');
  for (const path of texts.keys()) {
    for (const imported of importsOf(path))
      expect(existsSync(join(root, imported)), `${path} → ${imported}`).toBe(true);
  }
});

test('no file imports itself, on whatever way', () => {
  expect(circle()?.join(' → ') ?? 'no circle').toBe('no circle');
});

test('layers of src import downwards', () => {
  const upwards = [...texts.keys()]
    .filter((path) => path.startsWith('src/'))
    .flatMap((path) => importsOf(path).map((imported) => [path, imported] as const))
    .filter(([path, imported]) => !imported.startsWith('src/') || layerOf(imported) > layerOf(path));
  expect(upwards.map((way) => way.join(' → '))).toEqual([]);
  const strange = [...texts.keys()].filter((path) => path.startsWith('src/') && layerOf(path) < 0);
  expect(strange).toEqual([]);
});

test.each([
  ['experiments', 'bench'],
  ['command', 'experiments'],
  ['command', 'bench'],
  ['page', 'experiments'],
  ['experiments', 'page'],
])('%s imports nothing of %s', (from, to) => {
  const arrows = [...texts.keys()]
    .filter((path) => path.startsWith(`${from}/`))
    .flatMap((path) =>
      importsOf(path)
        .filter((imported) => imported.startsWith(`${to}/`))
        .map((each) => [path, each]),
    );
  expect(arrows).toEqual([]);
});

describe('a module of src that keeps a state says why, in the line above', () => {
  const stateful = /^(?:export )?(?:let |const \w+[^;]*= new (?:Weak)?(?:Map|Set|Ref)\b(?:<.*>)?\(\);)/;

  test('the rule finds what it looks for', () => {
    for (const line of [
      'let open = 0;',
      'const kept = new Map<string, () => void>();',
      'export const x = new WeakMap();',
    ])
      expect(stateful.test(line)).toBe(true);
    for (const line of ['const table = new Map([[1, 2]]);', '  let inside = 0;'])
      expect(stateful.test(line)).toBe(false);
  });

  test('every one does', () => {
    const silent = [...texts].flatMap(([path, text]) => {
      if (!path.startsWith('src/')) return [];
      const lines = text.split('\n');
      return lines.flatMap((line, i) =>
        stateful.test(line) && !/^(?:\/\/| ?\*|\/\*\*)/.test(lines[i - 1] ?? '') ? [`${path}:${i + 1} ${line}`] : [],
      );
    });
    expect(silent).toEqual([]);
  });
});

describe('src runs in browsers: what Node alone has is asked of the platform', () => {
  const ofNode = /'node:|\bBuffer[.(]|\bsetImmediate\(|\bprocess\.\w/;
  const isNodeSide = (path: string) => /^src\/tensor\/platform\/(?!browser)/.test(path);
  const files = [...texts].filter(([path]) => path.startsWith('src/'));

  test('the rule finds what it looks for', () => {
    expect(files.filter(([path, text]) => isNodeSide(path) && ofNode.test(text)).length).toBeGreaterThan(2);
  });

  test('no other file uses it', () => {
    expect(files.filter(([path, text]) => !isNodeSide(path) && ofNode.test(text)).map(([path]) => path)).toEqual([]);
  });
});

test('every file of src says what it is', () => {
  const silent = [...texts].filter(([path, text]) => path.startsWith('src/') && !/^\/(?:\*\*|\/ )/.test(text));
  expect(silent.map(([path]) => relative('src', path))).toEqual([]);
});
