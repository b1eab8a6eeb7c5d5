/** The script of docs/your-own-policy.md: a rule of twenty lines, and a training that it takes apart. */
import {
  AdamW,
  crossEntropy,
  type Optimizer,
  openDevice,
  ParameterRegistry,
  Policy,
  projectionKinds,
  Random,
  type RegistryEntry,
  step,
  Transformer,
  tensor,
} from '../src/index.ts';

/** Every so often, the matrix with the least gradient per element freezes. No threshold, no history. */
function freezeLeast(registry: ParameterRegistry, optimizer: Optimizer, every: number): Policy {
  const matrices = registry.select(projectionKinds);
  return new (class extends Policy {
    get finished() {
      return registry.active(matrices).length === 0;
    }

    override async afterStep(step: number) {
      if (step % every !== 0) return;
      const { gradients } = await optimizer.report();
      const mean = ({ parameters: [weight] }: RegistryEntry) => (gradients.get(weight)?.absolute ?? 0) / weight.size;
      const [least] = registry.active(matrices).sort((a, b) => mean(a) - mean(b));
      if (least) registry.freeze(least, { step, value: mean(least), reason: 'its gradient is the least' });
    }
  })();
}

const device = await openDevice('cpu');
const config = { vocabulary: 8, width: 16, heads: 2, hidden: 24, blocks: 1, head: 'language-model' } as const;
const model = new Transformer(config, { device, random: new Random(1) });
const optimizer = new AdamW(model.parameters(), { learningRate: 1e-2 });
const registry = new ParameterRegistry(model);
registry.onEvent(({ step, name, reason }) => console.log(`step ${step}: ${name} froze, because ${reason}`));
const policy = freezeLeast(registry, optimizer, 20);

for (let s = 1; s <= 200 && !policy.finished; s++) {
  // Counting upwards from anywhere, mod 8.
  const rows = Array.from({ length: 4 }, (_, row) => Array.from({ length: 9 }, (_, i) => (3 * s + row + i) % 8));
  await step(async () => {
    policy.beforeStep(s);
    const tokens = tensor(
      rows.map((row) => row.slice(0, -1)),
      { device, dtype: 'i32' },
    );
    const targets = tensor(
      rows.map((row) => row.slice(1)),
      { device, dtype: 'i32' },
    );
    const loss = crossEntropy(model.call(tokens), targets);
    loss.backward();
    optimizer.step(loss);
    await policy.afterStep(s);
  });
  await policy.betweenSteps(s);
}
await policy.end();
console.log(`${registry.events.length} freezes`);
