/** The script of docs/first-gradient.md: four numbers, their gradient by hand and by the library, and two that freeze. */
import { Graph, openDevice, Parameter, requireGradient, SGD, step, tensor } from '../src/index.ts';

const device = await openDevice('cpu');

const x = requireGradient(tensor([1, -2, 3, 0.5], { device }));
const y = x.mul(x).sum();
y.backward();
console.log('y:', await y.item());
console.log('gradient of x:', await x.gradient?.toArray());

const moved = tensor([1, -2, 3.001, 0.5], { device });
const rise = (await moved.mul(moved).sum().item()) - (await y.item());
console.log('rise of y, per unit:', (rise / 0.001).toFixed(2));

const w = new Parameter(tensor([1, -2, 3, 0.5], { device }), 'weight');
const optimizer = new SGD([w], { learningRate: 0.1 });
for (let s = 1; s <= 3; s++) {
  await step(async () => {
    const loss = w.mul(w).sum();
    loss.backward();
    optimizer.step(loss);
    console.log(`step ${s}: loss ${(await loss.item()).toFixed(2)}`);
  });
}

const a = new Parameter(tensor([1, 2], { device }), 'weight');
const b = new Parameter(tensor([3, 4], { device }), 'weight');
const before = new Graph(a.mul(b).sum()).summary();
b.freeze();
const after = new Graph(a.mul(b).sum()).summary();
console.log('gradients to compute:', before.gradients, 'before,', after.gradients, 'after');
