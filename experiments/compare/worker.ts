/** A process that trains what it is sent. Started by `workers.ts`; figures go back as messages. */

import { ignoreInterrupts } from '../../command/interrupt.ts';
import { FileWriteError } from '../../src/index.ts';
import { openForRuns } from './circumstances.ts';
import { UnitRunner } from './units.ts';
import type { FromWorker, ToWorker } from './workers.ts';

ignoreInterrupts();

const send = (message: FromWorker) => process.send?.(message);
const stepsBetweenMessages = 50;

const [kind, bases] = process.argv.slice(2);
const runner = new UnitRunner(await openForRuns(kind === 'webgpu' ? 'webgpu' : 'cpu'), JSON.parse(bases));

process.on('message', async ({ unit, checkpoint }: ToWorker) => {
  let steps = 0;
  try {
    const results = await runner.perform(unit, checkpoint, () => {
      steps++;
      if (steps % stepsBetweenMessages === 0) send({ type: 'steps', steps: stepsBetweenMessages });
    });
    send({ type: 'done', results });
  } catch (error) {
    if (error instanceof FileWriteError) send({ type: 'unwritable', reason: error.message });
    else send({ type: 'failed', reason: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
});
process.on('disconnect', () => process.exit());
