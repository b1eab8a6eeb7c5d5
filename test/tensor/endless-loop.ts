/** A loop that never awaits a value, run as a process of its own: it ends by the handlers it installs, or not at all. */
import { deviceKinds, keep, normal, openDevice, Random, requireGradient, step } from '../../src/index.ts';

const kind = deviceKinds.find((kind) => kind === process.argv[2]);
const device = await openDevice(kind);
let steps = 0;
let ticks = 0;
let stopped = false;

const timer = setInterval(() => {
  if (++ticks === 3) console.log('running');
}, 5);
process.once('SIGINT', () => {
  stopped = true;
});

const x = normal([64, 64], { random: new Random(1), device });
let weight = normal([64, 64], { random: new Random(2), device });
while (!stopped) {
  await step(() => {
    requireGradient(weight);
    x.matmul(weight).tanh().mean().backward();
    weight = keep('weight', weight.sub(weight.gradient?.mul(0.1) ?? 0));
  });
  steps++;
}

clearInterval(timer);
console.log(`stopped after ${steps} steps, ${ticks} ticks and ${device.memory().liveBuffers} buffers`);
process.exitCode = 7;
