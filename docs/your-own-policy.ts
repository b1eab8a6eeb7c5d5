/** The script of docs/your-own-policy.md: a rule and a signal of one's own, and a training that the rule takes apart. */
import {
  AdamW,
  crossEntropy,
  entrySums,
  type Optimizer,
  openDevice,
  ParameterRegistry,
  type ParameterSum,
  type Policy,
  projectionKinds,
  Random,
  Training,
  Transformer,
  tensor,
} from '../src/index.ts';

/** Σ g · g of the step before: negative where the gradient turns around from step to step. */
const agreement: ParameterSum = {
  name: 'agreement',
  over: 'gradient-before',
  wgsl: 'x * y',
  reference: (x, y) => x * y,
};

/** Every so often, the matrix whose last two gradients agree least freezes. No threshold, no history. */
function freezeLeast(registry: ParameterRegistry, optimizer: Optimizer, every: number): Policy {
  const matrices = registry.select(projectionKinds);
  const watch = optimizer.watch(
    agreement,
    matrices.flatMap(({ parameters }) => parameters),
  );
  return {
    get finished() {
      return registry.active(matrices).length === 0;
    },
    beforeStep(step) {
      if (step % every === 0) watch.measureNext();
    },
    async afterStep(step) {
      if (step % every !== 0) return;
      const sums = entrySums(watch, matrices, await optimizer.report());
      const [least] = [...sums].sort(([, a], [, b]) => a - b);
      if (least) registry.freeze(registry.get(least[0]), { step, reason: 'its gradients agree least' });
    },
    end: () => watch.release(),
  };
}

const device = await openDevice('cpu');
const config = { vocabulary: 8, width: 16, heads: 2, hidden: 24, blocks: 1, head: 'language-model' } as const;
const model = new Transformer(config, { device, random: new Random(1) });
const optimizer = new AdamW(model.parameters(), { learningRate: 1e-2 });
const registry = new ParameterRegistry(model);
registry.onEvent(({ step, name, reason }) => console.log(`step ${step}: ${name} froze, because ${reason}`));

await new Training({
  model,
  optimizer,
  registry,
  policies: [freezeLeast(registry, optimizer, 20)],
  steps: 200,
  loss(s) {
    // Counting upwards from anywhere, mod 8.
    const rows = Array.from({ length: 4 }, (_, row) => Array.from({ length: 9 }, (_, i) => (3 * s + row + i) % 8));
    const tokens = tensor(rows, { device, dtype: 'i32' });
    return crossEntropy(model.call(tokens.slice([0, 0], [4, 8])), tokens.slice([0, 1], [4, 9]));
  },
}).run();
console.log(`${registry.events.length} freezes`);
