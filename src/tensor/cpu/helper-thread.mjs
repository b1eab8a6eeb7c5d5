// A thread that helps the cpu device; src/tensor/cpu/linear-memory.ts starts it.

import { workerData } from 'node:worker_threads';
import { JobBoard } from './job-board.mjs';

const { module, memory, names, board, thread } = workerData;
const abort = () => {
  throw new Error('the vector loops failed');
};
const { exports } = new WebAssembly.Instance(module, { env: { memory, abort } });
new JobBoard(board).help(
  names.map((/** @type {string} */ name) => exports[name]),
  thread,
);
