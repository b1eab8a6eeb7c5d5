/** An error that is no fault of the program: `runCommand` prints its message and no stack. */
export class CommandError extends Error {
  override readonly name: string = 'CommandError';
}
