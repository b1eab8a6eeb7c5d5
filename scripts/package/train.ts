// A user's program: trains a small model and tells its loss. scripts/check-package.ts has it compiled, bundled and run.

import {
  AdamW,
  crossEntropy,
  type Device,
  GradES,
  openDevice,
  ParameterRegistry,
  Random,
  Training,
  Transformer,
  tensor,
} from 'frostgrad';

const steps = 20;

export async function train(): Promise<{ adapter: string; loss: number }> {
  const device: Device = await openDevice('cpu', { form: 'plain' });
  const config = { vocabulary: 26, width: 32, heads: 2, hidden: 64, blocks: 2, head: 'language-model' } as const;
  const model = new Transformer(config, { device, random: new Random(1) });
  const optimizer = new AdamW(model.parameters(), { learningRate: 3e-3 });
  const registry = new ParameterRegistry(model);
  const policies = [new GradES(registry, optimizer, { steps })];
  const loss = (step: number) => {
    const letter = (row: number, i: number) => (7 * step + row + i * (1 + (row % 5))) % 26;
    const rows = Array.from({ length: 8 }, (_, row) => Array.from({ length: 13 }, (_, i) => letter(row, i)));
    const letters = tensor(rows, { device, dtype: 'i32' });
    return crossEntropy(model.call(letters.slice([0, 0], [8, 12])), letters.slice([0, 1], [8, 13]));
  };
  const training = new Training({ model, optimizer, steps, registry, policies, loss });
  await training.run();
  return { adapter: device.adapter, loss: (await training.loss()) ?? Number.NaN };
}
