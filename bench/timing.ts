/** Milliseconds on the clock of the process. */

export async function time(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** Of each of `count` calls, one after the other. */
export async function timeEach(count: number, work: () => Promise<unknown>): Promise<number[]> {
  const milliseconds: number[] = [];
  for (let i = 0; i < count; i++) milliseconds.push(await time(work));
  return milliseconds;
}
