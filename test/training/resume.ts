// A part of a training in a process of its own: resume.ts <device> <file> <from step> <to step>. It writes what it came to.

import { createHash } from 'node:crypto';
import { openDevice, readCheckpoint, writeCheckpoint } from '../../src/index.ts';
import { makeResumable } from './resumable.ts';

const [kind, file, from, to] = process.argv.slice(2);
const device = await openDevice(kind === 'cpu' ? 'cpu' : 'webgpu');
const resumable = makeResumable(device, 'GradES', { adapters: true });
if (Number(from) > 0) await resumable.training.restore(await readCheckpoint(file));
await resumable.advanceTo(Number(to));
if (!resumable.training.finished) await writeCheckpoint(file, await resumable.training.save());
const { losses, events, weights } = await resumable.outcome();
const digest = createHash('sha256').update(JSON.stringify(weights)).digest('hex');
process.stdout.write(`${JSON.stringify({ losses, events, digest })}\n`);
