// Measures what watching costs in a process of its own, which suite.ts starts: ours.ts <webgpu | cpu> <full | quick>

import { startOurs } from '../start-ours.ts';
import { measureWatching } from './measure.ts';

await startOurs(measureWatching);
