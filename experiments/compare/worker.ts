/** A process that trains what it is sent. Started by `workers.ts`; figures go back as messages. */

import { ignoreInterrupts } from '../../command/interrupt.ts';
import { FileWriteError } from '../../src/index.ts';
import { openForRuns } from './circumstances.ts';
import { performUnit } from './units.ts';
import type { FromWorker, ToWorker } from './workers.ts';

ignoreInterrupts();

const send = (message: FromWorker) => process.send?.(message);
const stepsBetweenMessages = 50;

const [kind, foundBases] = process.argv.slice(2);
const device = await openForRuns(kind === 'webgpu' ? 'webgpu' : 'cpu');
const bases = JSON.parse(foundBases);

process.on('message', async ({ unit, checkpoint }: ToWorker) => {
  let steps = 0;
  try {
    const onStep = () => {
      steps++;
      if (steps % stepsBetweenMessages === 0) send({ type: 'steps', steps: stepsBetweenMessages });
    };
    const results = await performUnit(unit, { device, bases, checkpoint, onStep });
    send({ type: 'done', results });
  } catch (error) {
    if (error instanceof FileWriteError) send({ type: 'unwritable', reason: error.message });
    else send({ type: 'failed', reason: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
});
process.on('disconnect', () => process.exit());
