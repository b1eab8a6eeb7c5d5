/** The code of docs/coming-from-pytorch.md, run: its blocks one after the other, then the right side of its tables, cell by cell. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import * as library from '../../src/index.ts';
import { cpu, onEachDevice } from '../devices.ts';
import { exportedOperations } from '../exported.ts';
import { temporaryFolder } from '../temporary-folder.ts';

const page = readFileSync(new URL('../../docs/coming-from-pytorch.md', import.meta.url), 'utf8');
const blocks = [...page.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code]) => code);
const cells = [...page.matchAll(/^\| .*? \| (`.*`) \| .*\|$/gm)].flatMap(([, cell]) => cell.split(/(?<=`), (?=`)/));

/** The page is plain JavaScript. */
const compile = (code: string): unknown =>
  Reflect.construct(Object.getPrototypeOf(async () => {}).constructor, ['$', code]);

test('the page names every operation that PyTorch has', () => {
  const others = ['linearCrossEntropy', 'rotary', 'slice', 'swiglu'];
  expect(exportedOperations().filter((name) => !new RegExp(`\\b${name}\\b`).test(page))).toEqual(others);
});

onEachDevice((device) => {
  test('the page runs', async () => {
    const before = library.defaultDevice();
    const path = join(temporaryFolder(), 'run.safetensors');
    const print = vi.spyOn(console, 'log').mockImplementation(() => {});
    library.setDefaultDevice(device);
    try {
      const body = cells.map(
        (cell) =>
          `try { ${cell.slice(1, -1)}; } catch (cause) { throw new Error(${JSON.stringify(cell)}, { cause }); }`,
      );
      const prelude = `
        const { ${Object.keys(library).join(', ')} } = $;
        const { random, device, cpu, path } = $.here;
        const inputs = normal([6, 4], { random });
        const classes = tensor([0, 1, 2, 0, 1, 2], { dtype: 'i32' });
        const [x, y, square] = [[3, 4], [3, 4], [4, 4]].map((shape) => normal(shape, { random }));
        const q = normal([1, 5, 2, 8], { random });
        const [i, rows] = [[2, 0, 1], [[2], [0], [1]]].map((values) => tensor(values, { dtype: 'i32' }));`;
      const run = compile([prelude, ...blocks, ...body].join('\n'));
      if (typeof run !== 'function') return expect.fail('no function');
      await Reflect.apply(run, undefined, [{ ...library, here: { random: new library.Random(1), device, cpu, path } }]);
      expect(cells.length).toBeGreaterThan(70);
    } finally {
      print.mockRestore();
      library.setDefaultDevice(before);
    }
  });
});
