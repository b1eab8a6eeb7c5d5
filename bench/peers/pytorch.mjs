// PyTorch, where it is installed: pytorch.mjs <eager | compiled> <matmul | attention | step | a part of large
// or model> <cuda | cpu>

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import * as attention from '../attention/workload.ts';
import { send } from '../child-report.ts';
import * as large from '../large/workload.ts';
import * as matmul from '../matmul/workload.ts';
import * as model from '../model/workload.ts';
import { python } from '../peers.ts';
import * as small from '../step/workload.ts';

const matmulCase = (one) => ({ kind: 'matmul', ...one });
const attentionCase = (one) => ({ kind: 'attention', ...attention.shape, ...one });

const cases = {
  matmul: () => matmul.cases.map(matmulCase),
  attention: () => attention.cases.map(attentionCase),
  step: () =>
    small.cases.map((name) => ({
      ...{ kind: 'gpt', name, frozen: name, steps: 10, sharedWeights: true },
      ...small.workload,
    })),
  [large.parts[0]]: () => [
    ...large.products.map(matmulCase),
    ...large.attentions.map((one) => ({ ...attentionCase(one), name: large.attentionName(one) })),
  ],
  [large.parts[1]]: (software) => {
    const size = large.gptSize(software);
    return [
      {
        ...{ kind: 'gpt', name: large.gptName(size), steps: large.gptSteps(software), sharedWeights: false },
        ...{ ...size, heads: size.width / size.headSize, hidden: 4 * size.width },
      },
    ];
  },
  [model.productsPart]: () => model.products.map(matmulCase),
  ...Object.fromEntries(
    model.cases.map((one) => [
      one.name,
      () => [{ kind: 'decoder', ...model.size, ...one, rank: model.rank, steps: model.steps }],
    ]),
  ),
};

const [mode, what, device] = process.argv.slice(2);
const child = spawn(python, [fileURLToPath(new URL('pytorch.py', import.meta.url))], {
  stdio: ['pipe', 'pipe', 'inherit'],
});
// Left open: Python ends when this process does.
child.stdin.write(`${JSON.stringify({ compiled: mode === 'compiled', cases: cases[what](device === 'cpu') })}\n`);
const closed = once(child, 'close');
for await (const line of createInterface({ input: child.stdout })) await send(JSON.parse(line));
const [code] = await closed;
process.exitCode = code ?? 1;
process.disconnect();
