/** A process that trains what it is sent. Started by `workers.ts`; figures go back as messages. */

import { openForRuns } from './circumstances.ts';
import { UnitRunner } from './units.ts';
import type { FromWorker, ToWorker } from './workers.ts';

// Ctrl-C reaches every process of the terminal; the one that started this one decides.
process.on('SIGINT', () => {});

const send = (message: FromWorker) => process.send?.(message);
const stepsBetweenMessages = 50;

const [kind, bases] = process.argv.slice(2);
const runner = new UnitRunner(await openForRuns(kind === 'webgpu' ? 'webgpu' : 'cpu'), JSON.parse(bases));

process.on('message', async ({ unit }: ToWorker) => {
  let steps = 0;
  try {
    const results = await runner.perform(unit, () => {
      steps++;
      if (steps % stepsBetweenMessages === 0) send({ type: 'steps', steps: stepsBetweenMessages });
    });
    send({ type: 'done', results });
  } catch (error) {
    send({ type: 'failed', reason: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
});
process.on('disconnect', () => process.exit());
