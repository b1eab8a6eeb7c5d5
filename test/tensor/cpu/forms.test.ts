/** The forms of the vector loops: each against sums in float64, and how one is chosen. */
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import {
  ArgumentError,
  attention,
  backward,
  crossEntropy,
  exp,
  gradientOf,
  matmul,
  mul,
  openDevice,
  requireGradient,
  sigmoid,
  silu,
  step,
  sum,
  type Tensor,
  tanh,
  tensor,
} from '../../../src/index.ts';
import { CpuDevice } from '../../../src/tensor/cpu/cpu-device.ts';
import { LinearMemory } from '../../../src/tensor/cpu/linear-memory.ts';
import { largestDifference } from '../../../src/tensor/cpu/self-check.ts';
import { type SimdForm, simdForms } from '../../../src/tensor/cpu/simd-form.ts';
import { platform } from '../../../src/tensor/platform/platform.ts';
import { reference } from '../../devices.ts';
import { baseShape, expectClose, inLayout, layout, random, runs } from '../../shapes.ts';

const canRun = (form: SimdForm) => {
  try {
    return new CpuDevice({ form }).adapter.includes(`(${form})`);
  } catch (error) {
    if (error instanceof ArgumentError) return false;
    throw error;
  }
};
const runnable = simdForms.filter(canRun);

/** Extents around the edges of tiles, panels and parts, and lengths around those of blocks. */
const extent = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(48, 63, 64, 65, 127, 130, 200));
const inner = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.constantFrom(383, 384, 385, 769, 1023, 1024, 1025, 2050));

describe.each(runnable)('%s', (form) => {
  const device = new CpuDevice({ form, threads: 2 });

  test('products of any shape and layout agree with sums in float64', async () => {
    const cases = fc.record({
      ...{ m: extent, n: extent, k: inner, batch: fc.constantFrom([], [], [3]), kinds: fc.tuple(layout, layout) },
      ...{ biased: fc.boolean(), residual: fc.boolean(), rectified: fc.boolean(), seed: fc.nat({ max: 1000 }) },
    });
    const property = fc.asyncProperty(cases, async ({ m, n, k, batch, kinds, seed, ...options }) => {
      const compute = (device: CpuDevice) => {
        const [a, b] = [
          [...batch, m, k],
          [...batch, k, n],
        ].map((shape, i) => inLayout(random(baseShape(shape, kinds[i]), { seed: seed + i, device }), kinds[i]));
        return matmul(a, b, options.biased ? random([n], { seed, device }) : null, {
          residual: options.residual ? random([...batch, m, n], { seed: seed + 2, device }) : null,
          activation: options.rectified ? 'relu' : null,
        });
      };
      await step(() => expectClose(compute(device), compute(reference), { absolute: 2e-6 + 1e-6 * Math.sqrt(k) }));
    });
    await fc.assert(property, runs(60));
  });

  test('what lies around an operand does not reach the product', async () => {
    const framed = ([rows, columns]: number[], seed: number): [Tensor, Tensor] => {
      const inside = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i + seed));
      const whole = new Float32Array((rows + 2) * (columns + 2)).fill(Number.NaN);
      for (let row = 0; row < rows; row++) {
        whole.set(inside.subarray(row * columns, (row + 1) * columns), (row + 1) * (columns + 2) + 1);
      }
      const base = tensor(whole, { shape: [rows + 2, columns + 2], device });
      return [tensor(inside, { shape: [rows, columns], device }), inLayout(base, 'sliced')];
    };
    for (const [m, k, n] of [
      [1, 1, 1],
      [5, 7, 19],
      [30, 33, 17],
    ]) {
      await step(async () => {
        const [a, aFramed] = framed([m, k], 1);
        const [b, bFramed] = framed([k, n], 2);
        await expectClose(matmul(aFramed, bFramed), matmul(a, b), { absolute: 0, relative: 0 });
      });
    }
  });

  test('a NaN stays in its row and its column', async () => {
    const [m, k, n] = [6, 9, 21];
    await step(async () => {
      const poisoned = (rows: number, columns: number, at: number) => {
        const values = Float32Array.from({ length: rows * columns }, (_, i) => (i === at ? Number.NaN : i % 5));
        return tensor(values, { shape: [rows, columns], device });
      };
      const result = await matmul(poisoned(m, k, 2 * k + 3), poisoned(k, n, 4 * n + 20)).data();
      const expected = Array.from({ length: m * n }, (_, i) => Math.floor(i / n) === 2 || i % n === 20);
      expect([...result].map(Number.isNaN)).toEqual(expected);
    });
  });

  test('attention and its gradients agree with the plain loops', async () => {
    const cases = fc.record({
      batch: fc.integer({ min: 1, max: 2 }),
      time: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(63, 64, 65, 130)),
      keyHeads: fc.integer({ min: 1, max: 3 }),
      sharing: fc.integer({ min: 1, max: 3 }),
      headSize: fc.constantFrom(4, 8, 12, 16, 20, 32, 64, 100, 128),
      causal: fc.boolean(),
      lengths: fc.option(fc.array(fc.nat({ max: 140 }), { minLength: 2, maxLength: 2 })),
      seed: fc.nat({ max: 1000 }),
    });
    const property = fc.asyncProperty(
      cases,
      async ({ batch, time, keyHeads, sharing, headSize, causal, lengths, seed }) => {
        const compute = (device: CpuDevice) => {
          const shape = [batch, time, keyHeads * sharing, headSize];
          const ofKeys = [batch, time, keyHeads, headSize];
          const inputs = [shape, ofKeys, ofKeys].map((each, i) =>
            requireGradient(random(each, { seed: seed + i, device })),
          );
          const counts =
            lengths &&
            tensor(
              lengths.slice(0, batch).map((length) => Math.min(length, time)),
              { device, dtype: 'i32', shape: [batch] },
            );
          const output = attention(inputs[0], inputs[1], inputs[2], { causal, lengths: counts });
          backward(sum(mul(output, random(shape, { seed: seed + 3, device }))));
          return [output, ...inputs.flatMap((input) => gradientOf(input) ?? [])];
        };
        await step(async () => {
          const [actual, expected] = [compute(device), compute(reference)];
          expect(actual).toHaveLength(4);
          for (const [i, each] of actual.entries()) await expectClose(each, expected[i], { absolute: 1e-5 });
        });
      },
    );
    await fc.assert(property, runs(60));
  });

  test('exponentials agree with float64 to two units in the last place', async () => {
    const values = Float32Array.from({ length: 4_003 }, (_, i) => (i - 2_001) * 0.0431);
    const x = tensor(values, { device });
    const least = 2 ** -126;
    for (const [operation, expected] of [
      [exp, Math.exp],
      [sigmoid, (x: number) => 1 / (1 + Math.exp(-x))],
      [silu, (x: number) => x / (1 + Math.exp(-x))],
      [tanh, Math.tanh],
    ] as const) {
      const actual = await operation(x).data();
      const errors = actual.map((each, i) => Math.abs(each - expected(values[i])) / Math.abs(expected(values[i])));
      const worst = Math.max(...errors.filter((_, i) => Math.abs(expected(values[i])) > least));
      expect(worst, operation.operation).toBeLessThan(2 ** -22);
    }
    const far = tensor([-Infinity, -1e30, -104, 104, 1e30, Infinity, Number.NaN, 0, 0], { device });
    expect([...(await exp(far).data())]).toEqual([0, 0, 0, Infinity, Infinity, Infinity, Number.NaN, 1, 1]);
    expect([...(await tanh(far).data())]).toEqual([-1, -1, -1, 1, 1, 1, Number.NaN, 0, 0]);
    const [lowest, lower, low, ...others] = await sigmoid(far).data();
    expect([...others]).toEqual([1, 1, 1, Number.NaN, 0.5, 0.5]);
    for (const each of [lowest, lower, low]) expect(each).toBeLessThan(1e-37);
  });

  test('cross-entropy over many classes agrees with float64', async () => {
    const classes = 5_003;
    const rows = Float32Array.from({ length: classes }, (_, i) => 20 * Math.sin(7 * i));
    const most = Math.max(...rows);
    const logSumExp = most + Math.log(rows.reduce((total, each) => total + Math.exp(each - most), 0));
    await step(async () => {
      const logits = requireGradient(tensor(rows, { device, shape: [1, classes] }));
      const loss = crossEntropy(logits, tensor([9], { device, dtype: 'i32' }));
      backward(loss);
      expect(await loss.item()).toBe(Math.fround(logSumExp - rows[9]));
      const gradient = (await gradientOf(logits)?.data()) ?? [];
      const expected = (i: number) => Math.exp(rows[i] - logSumExp) - (i === 9 ? 1 : 0);
      const errors = Array.from(gradient, (each, i) => Math.abs(each / expected(i) - 1));
      expect(errors).toHaveLength(classes);
      // What a logit lies below the sum is rounded to 24 bits, and so is the sum.
      expect(Math.max(...errors)).toBeLessThan(40 * 2 ** -23);
    });
  });
});

/** Runs a script in a process of its own, with the library as `frostgrad`. */
function run(script: string, environment: Record<string, string>) {
  const index = new URL('../../../src/index.ts', import.meta.url);
  const whole = `const frostgrad = await import('${index}'); ${script}`;
  return spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', whole], {
    encoding: 'utf8',
    env: { ...process.env, FROSTGRAD_CPU: '', ...environment },
    timeout: 30_000,
  });
}

test.each(runnable)('%s gives the same bits before and after the engine has compiled it anew', (form) => {
  const script = `
    const { attention, matmul, openDevice, ones, step, tensor } = frostgrad;
    const device = await openDevice('cpu', { threads: 1 });
    const shape = [1, 65, 1, 40];
    const x = tensor(Float32Array.from({ length: 2600 }, (_, i) => Math.sin(i * i)), { shape, device });
    const [a, b] = [[65, 40], [40, 65]].map((each) => x.reshape(each));
    const results = new Set();
    for (const end = performance.now() + 400; performance.now() < end; )
      await step(async () => {
        const both = [matmul(a, b), attention(x, x, x)];
        results.add((await Promise.all(both.map(async (each) => (await each.data()).join()))).join());
      });
    console.log(results.size);
  `;
  const { stdout, stderr } = run(script, { FROSTGRAD_CPU: form });
  expect({ stdout, stderr }).toEqual({ stdout: '1\n', stderr: '' });
});

test('a form that computes something else is found out', () => {
  class Broken extends LinearMemory {
    override call() {
      return true;
    }
  }
  const bytes = platform.readVectorLoops('plain');
  if (!bytes) throw new Error('the vector loops are not built: run node scripts/setup.mjs');
  expect(largestDifference(new LinearMemory('plain', new WebAssembly.Module(bytes)))).toBeLessThan(1);
  expect(largestDifference(new Broken('plain', new WebAssembly.Module(bytes)))).toBeGreaterThan(1);
});

describe('the choice', () => {
  const open = (environment: Record<string, string>) =>
    run("console.log((await frostgrad.openDevice('cpu', { threads: 1 })).adapter)", environment);

  test('is the fastest form that this engine runs', () => {
    expect(open({}).stdout).toContain(`WebAssembly vectors (${platform.preferredForms[0]}) on one thread`);
    expect(runnable).toEqual(expect.arrayContaining([...platform.preferredForms]));
  });

  test('falls on the plain loops where the modules are damaged, and says so', async () => {
    vi.resetModules();
    const { platform: fresh } = await import('../../../src/tensor/platform/platform.ts');
    const warn = vi.spyOn(fresh, 'warn').mockImplementation(() => {});
    const half = (bytes: Uint8Array<ArrayBuffer> | null) => bytes?.slice(0, bytes.length / 2) ?? null;
    vi.spyOn(fresh, 'readVectorLoops').mockImplementation((form) => half(platform.readVectorLoops(form)));
    const { linearMemory } = await import('../../../src/tensor/cpu/open-memory.ts');
    expect(linearMemory(null)).toBe(null);
    expect(warn.mock.calls).toEqual([[expect.stringContaining('plain loops run, many times slower')]]);
    vi.resetModules();
  });

  test('is what FROSTGRAD_CPU names', () => {
    expect(open({ FROSTGRAD_CPU: 'plain' }).stdout).toContain('(plain)');
    const wrong = open({ FROSTGRAD_CPU: 'fast' });
    expect(wrong.status).not.toBe(0);
    expect(wrong.stderr).toContain("ArgumentError: FROSTGRAD_CPU: 'fast' is no form of the cpu device");
  });

  test('is what the caller names, before all else', async () => {
    expect((await openDevice('cpu', { form: 'plain' })).adapter).toContain('(plain)');
    // @ts-expect-error: users run without the type checker.
    await expect(openDevice('cpu', { form: 'fast' })).rejects.toThrow(ArgumentError);
  });

  test.skipIf(platform.preferredForms.includes('wide'))('of a form that this engine lacks is refused by name', () => {
    expect(() => new CpuDevice({ form: 'wide' })).toThrow(
      'cannot run the form wide (allowed: Node 23.5 and newer on x64)',
    );
  });
});
