/** A long training with freezes, thaws, evaluations, checkpoints and restores, and whether anything grows on the way. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { line, ruleX } from '@observablehq/plot';
import { onWhite, palette } from '../../experiments/report/palette.ts';
import { drawPanels, overSteps, type Panel } from '../../experiments/report/panels.ts';
import {
  AdamW,
  Checkpoints,
  crossEntropy,
  type Device,
  GradES,
  noGrad,
  ParameterRegistry,
  type Policy,
  projectionKinds,
  Random,
  step,
  Training,
  Transformer,
} from '../../src/index.ts';
import { collectGarbage, tinyBatch, tinyConfig } from '../nn/tiny.ts';

/** What is sampled, its unit, and how much it may grow after the warm-up: a share of what it was, and a constant. */
const quantities = [
  { name: 'device, live', unit: 'KiB', share: 0, constant: 0 },
  { name: 'device, reserved', unit: 'KiB', share: 0, constant: 0 },
  { name: 'heap', unit: 'MiB', share: 0.05, constant: 1 },
  { name: 'array buffers', unit: 'MiB', share: 0.05, constant: 0.5 },
  { name: 'resident', unit: 'MiB', share: 0.1, constant: 16 },
  { name: 'open files', unit: '', share: 0, constant: 0 },
] as const;

type Quantity = (typeof quantities)[number]['name'];

/** Memory is looked at so often, at the same point of a cycle of freezes. */
const cycle = 200;
const [evaluateEvery, saveEvery, restoreEvery] = [50, 400, 2000];
/** The part of a run in which growth is no fault. */
const warmUp = 0.25;

export interface Soaked {
  readonly device: string;
  readonly steps: number;
  done: { freezes: number; thaws: number; evaluations: number; checkpoints: number; restores: number };
  readonly samples: ({ step: number } & Partial<Record<Quantity, number>>)[];
  /** In words; none where all is well. */
  readonly faults: string[];
}

/** @param folder for checkpoints. */
export async function soak(
  steps: number,
  { device, folder, onStep }: { device: Device; folder: string; onStep?(done: number): void },
): Promise<Soaked> {
  mkdirSync(folder, { recursive: true });
  const model = new Transformer(tinyConfig, { device, random: new Random(1) });
  const optimizer = new AdamW(model.parameters(), { learningRate: 1e-3, maxGradientNorm: 1 });
  const registry = new ParameterRegistry(model);
  const loss = (s: number) => {
    const { tokens, targets } = tinyBatch(device, s);
    return crossEntropy(model.call(tokens), targets);
  };
  // GradES looks, and hardly ever freezes; the other does it by the clock.
  const policies = [new GradES(registry, optimizer, { steps, threshold: 1e-6 }), byTheClock(registry)];
  const training = new Training({ model, optimizer, steps, registry, policies, loss });
  const checkpoints = new Checkpoints(folder);
  const done = { freezes: 0, thaws: 0, evaluations: 0, checkpoints: 0, restores: 0 };
  registry.onEvent(({ type }) => done[`${type}s`]++);
  const samples: Soaked['samples'] = [];
  await training.run({
    async onStep({ step: s }) {
      if (s % evaluateEvery === 0) {
        await step(() => noGrad(() => loss(steps + s).item()));
        done.evaluations++;
      }
      if (s % saveEvery === 0) {
        await checkpoints.write(s, await training.save());
        done.checkpoints++;
      }
      if (s % restoreEvery === 0) {
        const saved = await checkpoints.newest();
        if (saved) await training.restore(saved);
        done.restores++;
      }
      if (s % cycle === 0) samples.push(await sample(device, s));
      onStep?.(s);
    },
  });
  optimizer.release();
  for (const parameter of model.parameters()) parameter.release('the soak was over');
  return { device: `${device.kind} (${device.adapter})`, steps, done, samples, faults: growth(samples) };
}

/** Freezes the watched matrices one after the other, and thaws them all at the end of a cycle. */
function byTheClock(registry: ParameterRegistry): Policy {
  const entries = registry.select(projectionKinds);
  const every = Math.floor(cycle / (entries.length + 1));
  return {
    afterStep(s) {
      const at = s % cycle;
      const cause = { step: s, reason: 'the clock' };
      if (at === cycle - 1) for (const entry of entries) registry.thaw(entry, cause);
      else if (at % every === 0 && at > 0 && at <= every * (entries.length - 1))
        registry.freeze(entries[at / every - 1], cause);
    },
  };
}

async function sample(device: Device, s: number): Promise<Soaked['samples'][number]> {
  await device.synchronize();
  await collectGarbage();
  const { liveBytes, reservedBytes } = device.memory();
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
  const handles = '/proc/self/fd';
  return {
    step: s,
    'device, live': liveBytes / 2 ** 10,
    'device, reserved': reservedBytes / 2 ** 10,
    heap: heapUsed / 2 ** 20,
    'array buffers': arrayBuffers / 2 ** 20,
    resident: rss / 2 ** 20,
    // Where the system tells.
    ...(existsSync(handles) ? { 'open files': readdirSync(handles).length } : {}),
  };
}

/** The last quarter may hold no more than the one after the warm-up. */
function growth(samples: Soaked['samples']): string[] {
  const quarter = Math.floor(samples.length * warmUp);
  if (quarter === 0) return [];
  return quantities.flatMap(({ name, unit, share, constant }) => {
    const most = (of: Soaked['samples']) => Math.max(...of.map((each) => each[name] ?? 0));
    const [before, after] = [most(samples.slice(quarter, 2 * quarter)), most(samples.slice(-quarter))];
    if (after <= before * (1 + share) + constant) return [];
    return [`${name} grew from ${before} to ${after} ${unit}`.trimEnd()];
  });
}

/** A panel for each quantity, a line for each device. */
export function drawSoak(runs: readonly Soaked[]): string {
  const colours = [palette.live, palette.frozen];
  const panels = quantities.map(({ name, unit }): Panel => {
    const points = runs.flatMap(({ samples, device }, i) =>
      samples.flatMap((each) => ({ x: each.step, y: each[name] ?? 0, device, colour: colours[i] })),
    );
    return {
      name: unit === '' ? name : `${name}, ${unit}`,
      x: { domain: [0, Math.max(...runs.map(({ steps }) => steps))] },
      y: { domain: [0, 1.15 * Math.max(1, ...points.map(({ y }) => y))] },
      height: 130,
      marks: [
        ruleX(
          runs.map(({ steps }) => warmUp * steps),
          { stroke: palette.line, strokeDasharray: '4 3' },
        ),
        line(points, { x: 'x', y: 'y', z: 'device', stroke: 'colour', strokeWidth: 2 }),
      ],
    };
  });
  return onWhite(
    drawPanels({
      ...overSteps,
      title: 'What a training with freezes, thaws, evaluations and checkpoints holds (dashed: end of the warm-up)',
      legend: runs.map(({ device }, i) => ({ colour: colours[i], words: device, sample: 'line' })),
      panels,
      columns: 3,
      ownAxes: true,
    }),
  );
}
