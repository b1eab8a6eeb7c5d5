import { expect, test } from 'vitest';
import { multiplyAdds } from '../../bench/large/multiply-adds.ts';
import { gptName } from '../../bench/large/workload.ts';
import { Random, step, Transformer, zeros } from '../../src/index.ts';
import { cpu, onEachDevice } from '../devices.ts';

onEachDevice((device) => {
  test('multiply-adds in registers come to what they should', async () => {
    const result = zeros([128], { device });
    await step(() => multiplyAdds(result, 2));
    const data = await result.data();
    for (let i = 0; i < data.length; i++) {
      let sum = 0;
      for (let chain = 0; chain < 8; chain++) {
        const start = i * 1e-6 + chain / 10;
        // x → x / 2 + 1/4, sixteen times.
        sum += 0.5 + (start - 0.5) / 2 ** 16;
      }
      expect(Math.abs(data[i] - sum)).toBeLessThan(1e-5);
    }
    result.release('the test is over');
  });
});

test('the name of a GPT tells how many parameters it has', () => {
  const [width, time, vocabulary, blocks] = [512, 64, 1024, 2];
  const model = new Transformer(
    {
      ...{ vocabulary, width, blocks, heads: 8, hidden: 4 * width, head: 'language-model' },
      ...{ normalization: 'layer', positions: { learned: time }, feedForward: 'relu' },
    },
    { device: cpu, random: new Random(1) },
  );
  const parameters = model.parameters();
  const count = parameters.reduce((sum, { size }) => sum + size, 0);
  expect(gptName({ batch: 1, time, width, vocabulary, blocks })).toContain(` ${(count / 1e6).toFixed(0)} M parameters`);
  for (const parameter of parameters) parameter.release('the test is over');
});
