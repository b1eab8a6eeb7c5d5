/** The solutions of docs/exercises.md, each checked as the library's own operations and signals are. */
import { pointwise } from '../src/autograd/operations/pointwise/row.ts';
import { record } from '../src/autograd/record.ts';
import {
  AdamW,
  crossEntropy,
  flip,
  GradES,
  gradcheck,
  matmul,
  noGrad,
  normal,
  ones,
  openDevice,
  ParameterRegistry,
  Random,
  type Signal,
  softplus,
  type Tensor,
  Training,
  Transformer,
  tensor,
  triu,
} from '../src/index.ts';

const device = await openDevice('cpu');
const random = new Random(1);
const numbers = (shape: readonly number[]) => normal(shape, { device, dtype: 'f64', random });

const mySoftplus = pointwise('mySoftplus', {
  wgsl: 'max(x, 0.0) + log(1.0 + exp(-abs(x)))',
  reference: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  derivatives: [{ needs: ['x'], wgsl: 'g / (1.0 + exp(-x))', reference: (g, x) => g / (1 + Math.exp(-x)) }],
});

await gradcheck((x) => mySoftplus(x), [numbers([3, 4])]);
const far = tensor([-1000, 0, 1000], { device });
console.log('softplus:', await mySoftplus(far).toArray(), 'the library:', await softplus(far).toArray());

/** Running sums of the rows of x: (rows, length) → the same. Made of other operations. */
function sumsByProduct(x: Tensor): Tensor {
  const length = x.shape[1];
  return matmul(x, triu(ones([length, length], { device: x.device, dtype: x.dtype })));
}

/** The same as an operation with a rule of its own. */
function sumsByRule(x: Tensor): Tensor {
  const forward = (rows: Tensor) => noGrad(() => sumsByProduct(rows));
  return record('sumsByRule', forward(x), [{ input: x, gradient: (g) => flip(forward(flip(g, 1)), 1) }]);
}

for (const operation of [sumsByProduct, sumsByRule]) {
  await gradcheck(operation, [numbers([2, 5])]);
  console.log(operation.name, await operation(tensor([[1, 2, 3, 4]], { device })).toArray());
}

const squares: Signal = {
  name: 'squares',
  over: 'gradient',
  wgsl: 'x * x',
  reference: (x) => x * x,
  power: 2,
  threshold: 0.5,
};

const config = { vocabulary: 10, width: 16, heads: 2, hidden: 24, blocks: 1, head: { classes: 2 } } as const;
const model = new Transformer(config, { device, random });
const optimizer = new AdamW(model.parameters(), { learningRate: 1e-2 });
const registry = new ParameterRegistry(model);
const policies = [new GradES(registry, optimizer, { steps: 200, signal: squares })];
/** Is the first of eight digits one of the five large ones? */
const loss = () => {
  const digits = Array.from({ length: 16 }, () => Array.from({ length: 8 }, () => random.integer(10)));
  const targets = digits.map(([first]) => (first >= 5 ? 1 : 0));
  return crossEntropy(model.call(tensor(digits, { device, dtype: 'i32' })), tensor(targets, { device, dtype: 'i32' }));
};
await new Training({ model, optimizer, steps: 200, registry, policies, loss }).run();
console.log('frozen by the squares:', registry.events.length, 'of 7');
