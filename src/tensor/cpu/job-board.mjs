/**
 * What the threads of the cpu device share beside the memory with the tensors: one job at a time, and how far it is. A job is
 * a function of kernels/simd/ and a number of parts, of which every thread takes some until none is left. Plain JavaScript,
 * because a thread loads it as it stands.
 *
 * @typedef {(...values: number[]) => void} PartedFunction its last three arguments: scratch, the first part, the end.
 * @typedef {object} Job
 * @property {number} functionIndex
 * @property {readonly number[]} values arguments of the function before the last three
 * @property {number} parts
 * @property {number} scratch address of the first thread's room for intermediate values
 * @property {number} scratchBytes of each thread
 * @property {number} threads how many may take part
 */

const mostValues = 32;
/** Places among the 32-bit words; those that several threads write to lie on cache lines of their own. */
const epochAt = 0;
const nextAt = 16;
const activeAt = 32;
const failedAt = 48;
const helpedAt = 49;
const jobAt = 64;
const valuesByte = 4 * 80;

/** A thread that waits asks so long before it sleeps: to be woken takes as long as a small product. */
const spinMilliseconds = 0.2;

/** A thread so waited for is lost: what it takes at a time is over in a fraction of this. Seconds in which nothing is to be done. */
const patienceSeconds = 30;

/** A thread ended while it had parts of a job, so the job has no result. */
export class LostThreadError extends Error {}

export class JobBoard {
  #words;
  #values;
  #patience;
  #isBroken = false;

  /**
   * @param {SharedArrayBuffer} buffer
   * @param {number} patience seconds until a thread that does not finish is given up
   */
  constructor(buffer = new SharedArrayBuffer(valuesByte + 8 * mostValues), patience = patienceSeconds) {
    this.buffer = buffer;
    this.#patience = patience;
    this.#words = new Int32Array(buffer, 0, valuesByte / 4);
    this.#values = new Float64Array(buffer, valuesByte, mostValues);
  }

  /** Parts that helpers have computed so far. */
  get helped() {
    return Atomics.load(this.#words, helpedAt);
  }

  /** Whether a thread was lost: it may still hold the job, so that no other can be shared. */
  get isBroken() {
    return this.#isBroken;
  }

  /**
   * Has a job done, by this thread and whoever comes to help. The result does not depend on who computed which part.
   *
   * @param {Job} job
   * @param {readonly PartedFunction[]} functions
   * @throws LostThreadError where a thread does not finish what it took.
   */
  perform({ functionIndex, values, parts, scratch, scratchBytes, threads }, functions) {
    const words = this.#words;
    // Several parts at a time, where there are many: so often that the last are shared evenly.
    const taken = Math.max(1, Math.floor(parts / (8 * threads)));
    words.set([functionIndex, values.length, parts, taken, scratch, scratchBytes, threads], jobAt);
    this.#values.set(values);
    Atomics.store(words, nextAt, 0);
    Atomics.store(words, failedAt, 0);
    // Odd: open.
    Atomics.add(words, epochAt, 1);
    Atomics.notify(words, epochAt);
    try {
      this.#takeParts(functions, 0);
    } finally {
      Atomics.add(words, epochAt, 1);
      // Who came before it was closed is waited for, and who comes after it leaves at once: from here on the job may change.
      for (;;) {
        const active = Atomics.load(words, activeAt);
        if (active === 0) break;
        this.#awaitThreads(active);
      }
    }
    if (Atomics.exchange(words, failedAt, 0) !== 0) throw new Error('the vector loops failed on another thread');
  }

  /**
   * What a thread beside the main one does until the process ends.
   *
   * @param {readonly PartedFunction[]} functions
   * @param {number} thread from 1 on
   */
  help(functions, thread) {
    const words = this.#words;
    for (let epoch = 0; ; ) {
      epoch = this.#awaitOther(epochAt, epoch);
      if (epoch % 2 === 0) continue;
      Atomics.add(words, activeAt, 1);
      try {
        // Still open: then it does not change before this thread has left.
        if (Atomics.load(words, epochAt) === epoch && thread < words[jobAt + 6]) {
          Atomics.add(words, helpedAt, this.#takeParts(functions, thread));
        }
      } catch {
        // Whoever waits for the job says so.
        Atomics.store(words, failedAt, 1);
      } finally {
        Atomics.sub(words, activeAt, 1);
        Atomics.notify(words, activeAt);
      }
    }
  }

  /**
   * @param {readonly PartedFunction[]} functions
   * @param {number} thread
   * @returns how many parts it computed.
   */
  #takeParts(functions, thread) {
    const [functionIndex, count, parts, taken, scratch, scratchBytes] = this.#words.subarray(jobAt, jobAt + 6);
    const values = this.#values.subarray(0, count);
    const run = functions[functionIndex];
    let computed = 0;
    for (;;) {
      const first = Atomics.add(this.#words, nextAt, taken);
      if (first >= parts) return computed;
      const end = Math.min(first + taken, parts);
      run(...values, scratch + thread * scratchBytes, first, end);
      computed += end - first;
    }
  }

  /**
   * Waits until fewer or more than `active` threads have parts. Nobody hears of a thread's end while this one sleeps, so it wakes each
   * second and counts: a machine that was suspended has not lost a thread.
   *
   * @param {number} active
   */
  #awaitThreads(active) {
    const sleepsAt = performance.now() + spinMilliseconds;
    while (performance.now() < sleepsAt) if (Atomics.load(this.#words, activeAt) !== active) return;
    for (let seconds = 0; seconds < this.#patience; seconds++) {
      if (Atomics.wait(this.#words, activeAt, active, 1000) !== 'timed-out') return;
    }
    this.#isBroken = true;
    throw new LostThreadError(`a thread has not finished its part of a job in ${this.#patience} s`);
  }

  /**
   * @param {number} place
   * @param {number} value
   * @returns {number} what stands there once it is something else.
   */
  #awaitOther(place, value) {
    const sleepsAt = performance.now() + spinMilliseconds;
    for (;;) {
      const found = Atomics.load(this.#words, place);
      if (found !== value) return found;
      if (performance.now() > sleepsAt) Atomics.wait(this.#words, place, value);
    }
  }
}
