/** Waiting for Dawn's Node binding. */

/** Slept on while waiting; nobody ever wakes it. */
const cell = new Int32Array(new SharedArrayBuffer(4));
const shortest = 0.05;
const longest = 1;

/**
 * Awaits `pending` without taking a core from a software adapter.
 *
 * While a buffer map or the queue is pending, Dawn's Node binding polls from the event loop at full speed. On a software
 * adapter that core should compute instead: a 512 x 512 matmul runs at half its speed otherwise. So the thread sleeps,
 * lets the event loop turn once (Dawn polls there, and signals arrive there), and repeats. It sleeps a twentieth of
 * a millisecond at first, then twice as long each time, up to a whole one: what is over soon is not waited for long, and
 * what takes long is not disturbed often.
 */
export async function politely<T>(pending: Promise<T>): Promise<T> {
  let settled = false;
  const settle = () => {
    settled = true;
  };
  pending.then(settle, settle);
  await eventLoopTurn();
  for (let milliseconds = shortest; !settled; milliseconds = Math.min(longest, 2 * milliseconds)) {
    Atomics.wait(cell, 0, 0, milliseconds);
    await eventLoopTurn();
  }
  return pending;
}

export function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
