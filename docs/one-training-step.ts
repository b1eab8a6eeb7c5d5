/**
 * `npm run tour`: one training step of a small transformer, and what freezing takes out of it. Prints the tables and the
 * drawings that docs/one-training-step.md explains.
 */
import {
  AdamW,
  backward,
  crossEntropy,
  type Device,
  FrozenPrefix,
  Graph,
  type GraphSummary,
  openDevice,
  Parameter,
  Random,
  snapshotWork,
  step,
  Transformer,
  tensor,
  traced,
  workSince,
} from '../src/index.ts';

const BATCH = 4;
const TIME = 8;
const CONFIG = { vocabulary: 16, width: 16, heads: 2, hidden: 32, blocks: 1, head: { classes: 3 } } as const;

interface Measured extends GraphSummary {
  flops: number;
  drawing: string;
  live: number;
  reserved: number;
  /** Of the forward pass, those of what is frozen among them. */
  forwardFlops: number;
  forwardTotal: number;
}

/** One whole step: forward, backward, update. Counts what it recorded, saved and dispatched. */
async function measure(device: Device, model: Transformer, optimizer: AdamW): Promise<Measured> {
  const random = new Random(1);
  const draw = (count: number, bound: number) => Int32Array.from({ length: count }, () => random.integer(bound));
  const before = snapshotWork(device);
  const measured = await step(() =>
    traced(() => {
      const tokens = tensor(draw(BATCH * TIME, CONFIG.vocabulary), { device, shape: [BATCH, TIME] });
      const targets = tensor(draw(BATCH, CONFIG.head.classes), { device });
      const beforeForward = snapshotWork(device);
      const loss = crossEntropy(model.call(tokens), targets);
      const { flops: forwardFlops, totalDispatches: forwardTotal } = workSince(device, beforeForward);
      const graph = new Graph(loss);
      backward(loss);
      optimizer.step(loss);
      return { ...graph.summary(), drawing: graph.toMermaid(), forwardFlops, forwardTotal };
    }),
  );
  device.trim();
  const { liveBytes: live, reservedBytes: reserved } = device.memory();
  return { ...measured, flops: workSince(device, before).flops, live, reserved };
}

const device = await openDevice('cpu');
const model = new Transformer(CONFIG, { device, random: new Random(0) });
const optimizer = new AdamW(model.parameters(), { learningRate: 1e-3 });
const parameters = model.namedParameters();

const freeze = (pattern: RegExp) => {
  for (const [name, parameter] of parameters)
    if (pattern.test(name) && parameter instanceof Parameter) parameter.freeze();
};

const stages: { title: string; measured: Measured }[] = [];
stages.push({ title: 'nothing frozen', measured: await measure(device, model, optimizer) });
freeze(/feedForward\.gate/);
stages.push({ title: 'gate frozen', measured: await measure(device, model, optimizer) });
freeze(/attention\.(query|key|value|output)/);
stages.push({ title: 'and q, k, v, o', measured: await measure(device, model, optimizer) });
freeze(/^tokens|attentionNorm/);
stages.push({ title: 'and the norm and embeddings below', measured: await measure(device, model, optimizer) });

// What `cacheFrozenPrefix` of Training does. The first pass fills it, the second begins above the block.
freeze(/^blocks/);
stages.push({ title: 'and the rest of the block', measured: await measure(device, model, optimizer) });
const prefix = new FrozenPrefix(model, { bytes: 2 ** 20 });
await prefix.prepare(null);
await measure(device, model, optimizer);
await prefix.prepare(null);
stages.push({ title: 'its output kept', measured: await measure(device, model, optimizer) });
const { samples, memoryBytes } = prefix.kept;
await prefix.close();

const row = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
console.log(row(['', ...stages.map(({ title }) => title)]));
console.log(row(['---', ...stages.map(() => '---:')]));
const lines: [string, (measured: Measured) => number][] = [
  ['operations recorded', ({ nodes }) => nodes],
  ['gradients computed', ({ gradients }) => gradients],
  ['bytes saved for backward', ({ savedBytes }) => savedBytes],
  ['forward dispatches', ({ forwardTotal }) => forwardTotal],
  ['of them recorded', ({ forwardDispatches }) => forwardDispatches],
  ['backward dispatches', ({ backwardDispatches }) => backwardDispatches],
  ['floating-point operations', ({ flops }) => flops],
  ['of them forward', ({ forwardFlops }) => forwardFlops],
  ['live bytes after the step', ({ live }) => live],
];
for (const [title, value] of lines) console.log(row([title, ...stages.map(({ measured }) => value(measured))]));
console.log(`\nBefore:\n\n\`\`\`mermaid\n${stages[0].measured.drawing}\`\`\``);
console.log(`\nAfter:\n\n\`\`\`mermaid\n${stages[3].measured.drawing}\`\`\``);
console.log(`\nWithout the prefix:\n\n\`\`\`mermaid\n${stages[5].measured.drawing}\`\`\``);
console.log(`\nKept:\n\n${samples} samples, ${memoryBytes} bytes`);
