/** Slept on while waiting; nobody ever wakes it. */
const cell = new Int32Array(new SharedArrayBuffer(4));
const milliseconds = 1;

/**
 * Awaits `pending` without taking a core from a software adapter.
 *
 * While a buffer map or the queue is pending, Dawn's Node binding polls from the event loop at full speed. On a software
 * adapter that core should compute instead: a 512 x 512 matmul runs at half its speed otherwise. So the thread sleeps a
 * millisecond, lets the event loop turn once (Dawn polls there, and signals arrive there), and repeats.
 */
export async function politely<T>(pending: Promise<T>): Promise<T> {
  let settled = false;
  const settle = () => {
    settled = true;
  };
  pending.then(settle, settle);
  await eventLoopTurn();
  while (!settled) {
    Atomics.wait(cell, 0, 0, milliseconds);
    await eventLoopTurn();
  }
  return pending;
}

export function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
