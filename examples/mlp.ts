/**
 * An MLP that tells two interleaved spirals apart: `node scripts/run.mjs examples/mlp.ts [STEPS]`.
 * It prints loss and accuracy, after a few seconds.
 */
import {
  AdamW,
  crossEntropy,
  Linear,
  noGrad,
  openDevice,
  Random,
  relu,
  Sequential,
  step,
  tensor,
  warmupCosine,
} from 'frostgrad';

const steps = Number(process.argv[2] ?? 600);
const device = await openDevice(); // where all tensors are made that name no other
const random = new Random(1);

const train = spirals(512);
const test = spirals(512);

const model = new Sequential(
  new Linear(2, 64, { random, bias: true }),
  relu,
  new Linear(64, 64, { random, bias: true }),
  relu,
  new Linear(64, 2, { random, bias: true }),
);
const optimizer = new AdamW(model.parameters(), { learningRate: 1e-2, weightDecay: 1e-3, maxGradientNorm: 1 });
const schedule = warmupCosine({ peak: 1e-2, steps, warmup: Math.min(20, steps) });

for (let s = 1; s <= steps; s++) {
  await step(async () => {
    const loss = crossEntropy(model.call(tensor(train.points)), tensor(train.classes, { dtype: 'i32' }));
    loss.backward();
    optimizer.learningRate = schedule(s);
    optimizer.step(loss);
    if (s % 100 === 0 || s === steps) {
      const report = await optimizer.report();
      console.log(`step ${s}: loss ${report.loss.toFixed(4)}, gradient norm ${report.gradientNorm.toFixed(3)}`);
    }
  });
}

const accuracy = await step(() =>
  noGrad(async () => {
    const found = model.call(tensor(test.points)).argmax({ axis: -1 });
    const isRight = found.equal(tensor(test.classes, { dtype: 'i32' }));
    return await isRight.cast('f32').mean().item();
  }),
);
console.log(`${device.kind}: accuracy on points never seen ${(100 * accuracy).toFixed(1)} %`);

/** Points of two spirals in turn, with a little noise. */
function spirals(count: number): { points: number[][]; classes: number[] } {
  const classes = Array.from({ length: count }, (_, i) => i % 2);
  const points = classes.map((side) => {
    const turn = 2 * Math.PI * random.uniform();
    const [angle, radius] = [turn + side * Math.PI, 0.2 + turn / 4];
    return [radius * Math.cos(angle) + 0.02 * random.normal(), radius * Math.sin(angle) + 0.02 * random.normal()];
  });
  return { points, classes };
}
