// What a thread does that helps the cpu device; src/tensor/platform/ starts it.

import { JobBoard } from './job-board.mjs';

const abort = () => {
  throw new Error('the vector loops failed');
};

/** @param {import('../platform/interface.ts').HelperData} data */
export function help({ module, memory, names, board, thread }) {
  const { exports } = new WebAssembly.Instance(module, { env: { memory, abort } });
  /** @type {readonly any[]} */
  const functions = names.map((name) => exports[name]);
  new JobBoard(board).help(functions, thread);
}
