// Measures matrix products of frostgrad in a process of its own: ours.ts <webgpu | cpu> <full | quick>

import { measureOperations } from '../measure-operations.ts';
import { startOurs } from '../start-ours.ts';
import { matmulOperation } from './operation.ts';
import { cases } from './workload.ts';

await startOurs((device, quick) =>
  measureOperations(quick ? cases.slice(0, 2) : cases, (one) => matmulOperation(device, one), quick),
);
