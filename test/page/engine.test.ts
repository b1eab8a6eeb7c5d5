import { beforeAll, describe, expect, test } from 'vitest';
import { attentionScores, attentionWeights } from '../../page/attention.ts';
import { Engine } from '../../page/engine.ts';
import type { Message, Settings, StepState, TaskData, TaskName } from '../../page/protocol.ts';
import { Run, sizes } from '../../page/run.ts';
import { addressOf, settingsFrom, usualSettings } from '../../page/settings.ts';
import { makeTask } from '../../page/tasks.ts';
import {
  AdamW,
  attention,
  backward,
  crossEntropy,
  type Device,
  openDevice,
  Random,
  reshape,
  rotary,
  step,
  Transformer,
  tensor,
  warmupCosine,
} from '../../src/index.ts';

const none: TaskData = { text: '', files: [] };
/** So that much freezes in few steps. */
const eager: Settings = { ...usualSettings, steps: 32, threshold: 0.95, grace: 0.1, patience: 0.02 };

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { form: 'plain' });
});

type Of<Type extends Message['type']> = Extract<Message, { type: Type }>;

/** An engine that has begun, what it tells, and a look at the messages of one type. */
async function begun(settings: Settings, data = none) {
  const messages: Message[] = [];
  const engine = new Engine(device, settings, data, (message) => messages.push(message));
  await engine.begin();
  const all = <Type extends Message['type']>(type: Type) =>
    messages.filter((message): message is Of<Type> => message.type === type);
  const advance = async (steps: number): Promise<StepState[]> => {
    const before = all('step').length;
    for (let i = 0; i < steps && !engine.finished; i++) await engine.advance();
    return all('step')
      .slice(before)
      .map(({ state }) => state);
  };
  return { engine, all, advance };
}

test('the run without a rule is a plain loop of the library, bit for bit', async () => {
  const { advance } = await begun(eager);
  const losses = (await advance(6)).map(({ full }) => full.loss);

  const task = makeTask('sort', none);
  const { vocabulary, head } = task;
  const model = new Transformer({ ...sizes, vocabulary, head }, { device, random: new Random(eager.seed) });
  const optimizer = new AdamW(model.parameters(), { learningRate: 3e-3 });
  const schedule = warmupCosine({ peak: 3e-3, steps: eager.steps, warmup: 2 });
  for (const [i, expected] of losses.entries()) {
    const random = new Random(eager.seed, i + 1);
    const examples = Array.from({ length: 32 }, () => task.example(random, 'training'));
    const integers = (rows: (readonly number[])[]) =>
      tensor(Int32Array.from(rows.flat()), { device, shape: [32, task.length] });
    const found = await step(async () => {
      const logits = model.call(integers(examples.map(({ tokens }) => tokens)));
      const loss = crossEntropy(logits, integers(examples.map(({ targets }) => targets)));
      backward(loss);
      optimizer.learningRate = schedule(i + 1);
      optimizer.step(loss);
      return loss.item();
    });
    expect(found).toBe(expected);
  }
});

describe('a run that freezes', () => {
  test('loses nodes, bytes, dispatches and operations; the nodes that stay keep their names', async () => {
    const { all, advance } = await begun(eager);
    const states = await advance(eager.steps);
    const frozen = all('frozen').map(({ event }) => event.name);
    expect(frozen.filter((name) => name.startsWith('blocks.0.')).length).toBeGreaterThanOrEqual(7);
    const graphs = all('graph').map(({ graph }) => graph);
    const [first, last] = [graphs[0], graphs[graphs.length - 1]];
    expect(last.nodes.length).toBeLessThan(first.nodes.length);
    expect(last.savedBytes).toBeLessThan(first.savedBytes);
    const known = new Set(first.nodes.map(({ id }) => id));
    for (const { nodes, edges, savedBytes } of graphs) {
      const ids = nodes.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      expect(ids.filter((id) => !known.has(id))).toEqual([]);
      expect(edges.flat().filter((id) => !ids.includes(id))).toEqual([]);
      expect(nodes.flatMap(({ saved }) => saved).reduce((sum, { bytes }) => sum + bytes, 0)).toBe(savedBytes);
    }
    expect(last.parameters.map(({ name }) => name).filter((name) => frozen.includes(name))).toEqual([]);
    const [before, after] = [states[0], states[states.length - 1]];
    expect(graphs.map(({ nodes }) => nodes.length)).toContain(after.rule.nodes);
    expect(after.rule.dispatches).toBeLessThan(before.rule.dispatches);
    expect(after.rule.operationsSoFar).toBeLessThan(after.full.operationsSoFar);
    expect(after.stop.step).toBeLessThan(after.full.step);
    expect(
      all('ended')
        .map(({ ending }) => ending.run)
        .sort(),
    ).toEqual(['full', 'rule']);
  });

  test('goes on from a checkpoint bit for bit, and forgets what came after it', async () => {
    const { engine, all, advance } = await begun(eager);
    const states = await advance(eager.steps);
    const steps = all('checkpoints').at(-1)?.steps ?? [];
    const at = steps[Math.floor(steps.length / 2)];
    await engine.restore(at);
    expect(all('checkpoints').at(-1)?.steps.at(-1)).toBe(at);
    const timeless = ({ full, rule, ...rest }: StepState) => ({
      ...rest,
      full: { ...full, milliseconds: 0 },
      rule: { ...rule, milliseconds: 0 },
    });
    expect((await advance(eager.steps)).map(timeless)).toEqual(states.slice(at).map(timeless));
  });

  test('takes other settings on the way, and another rule', async () => {
    const { engine, all, advance } = await begun({ ...eager, threshold: 0.05 });
    await advance(16);
    expect(all('frozen')).toEqual([]);
    await engine.changeRule({ ...eager });
    await advance(4);
    const { length } = all('frozen');
    expect(length).toBeGreaterThan(0);
    await engine.changeRule({ ...eager, rule: 'none' });
    const [state] = await advance(1);
    expect(state.matrices.filter(({ frozen }) => frozen).length).toBeGreaterThan(0);
    expect(all('frozen').length).toBe(length);
  });
});

test('by hand a matrix leaves the graph and comes back', async () => {
  const { engine, all, advance } = await begun({ ...eager, rule: 'none' });
  const name = 'blocks.1.attention.query.weight';
  const trained = () =>
    all('graph')
      .at(-1)
      ?.graph.parameters.map((parameter) => parameter.name);
  await advance(1);
  expect(trained()).toContain(name);
  await engine.freeze(name);
  expect(trained()).not.toContain(name);
  const [frozen] = await advance(1);
  expect(frozen.matrices.filter((matrix) => matrix.frozen)).toHaveLength(1);
  await engine.thaw(name);
  expect(trained()).toContain(name);
  await expect(engine.freeze('blocks.7.query')).rejects.toThrow('there is no matrix blocks.7.query');
});

test('what a head looks at is what the fused attention gathers by', async () => {
  const task = makeTask('sort', none);
  const { model } = new Run({ device, task, seed: 3, steps: 10, rule: null });
  const { tokens } = task.example(new Random(1), 'training');
  const { scores, values, gathered } = await step(async () => {
    const input = tensor(Int32Array.from(tokens), { device, shape: [1, tokens.length] });
    const [{ attentionNorm, attention: layer }] = model.blocks;
    const x = attentionNorm.call(model.embed(input));
    const byHead = (projected: typeof x) => reshape(projected, [1, tokens.length, sizes.heads, 8]);
    const [q, k, v] = [layer.query, layer.key, layer.value].map((each) => byHead(each.call(x)));
    return {
      scores: await attentionScores(model, input, 0).data(),
      values: await v.data(),
      gathered: await attention(rotary(q), rotary(k), v, { causal: true }).data(),
    };
  });
  const head = 2;
  const weights = attentionWeights(scores, head, tokens.length, true);
  weights.forEach((row, position) => {
    for (let i = 0; i < 8; i++) {
      const sum = row.reduce((total, weight, seen) => total + weight * values[(seen * sizes.heads + head) * 8 + i], 0);
      expect(sum).toBeCloseTo(gathered[(position * sizes.heads + head) * 8 + i], 5);
    }
  });
});

test.each([
  ['text', { text: 'It was a dark and stormy night. '.repeat(30), files: [] }],
  [
    'files',
    {
      text: '',
      files: [1, 2].map((factor) => ({
        name: `${factor}`,
        bytes: Uint8Array.from({ length: 700 }, (_, i) => factor * i),
      })),
    },
  ],
  ['reverse', none],
] satisfies [TaskName, TaskData][])('the task %s trains', async (task, data) => {
  const { all, advance } = await begun({ ...eager, task, steps: 12 }, data);
  const states = await advance(12);
  expect(states[11].full.loss).toBeLessThan(states[0].full.loss);
  expect(all('samples').at(-1)?.samples).toHaveLength(4);
});

test('data that do not suffice are told in words', () => {
  expect(() => makeTask('text', none)).toThrow('the text is empty: paste at least 640');
  expect(() => makeTask('files', none)).toThrow('no file is there: drop 2 to 8');
  const files = ['a', 'b'].map((name) => ({ name, bytes: new Uint8Array(5) }));
  expect(() => makeTask('files', { text: '', files })).toThrow('a has 5 bytes');
});

test('a link holds the settings; what makes no sense in it is told and left', () => {
  const settings: Settings = {
    ...eager,
    seed: 7,
    rule: 'paper-3',
    threshold: 6,
    task: 'reverse',
    device: 'webgpu',
    patience: 0,
  };
  expect(settingsFrom(addressOf(settings))).toEqual({ settings, faults: [] });
  const { settings: kept, faults } = settingsFrom('seed=-1&steps=1e9&rule=x&threshold=&grace=NaN&colour=red&task=sort');
  expect(kept).toEqual(usualSettings);
  expect(faults).toHaveLength(6);
});
