// A thread of the cpu device in Node; node.ts starts it.

import { workerData } from 'node:worker_threads';
import { help } from '../cpu/helper-thread.mjs';

help(workerData);
