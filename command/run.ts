/** How every command ends: its errors told, its exit status set. */

import { FrostgradError } from '../src/index.ts';
import { CommandError } from './error.ts';
import { endOnInterrupt, endWhereNobodyReads, Interrupted, interruptedExitCode } from './interrupt.ts';
import { OptionError } from './options.ts';

/**
 * Runs a command. An error that is expected, of the command line, the disk or the library, is printed without its stack and
 * sets the exit status: 2 for a command line that cannot be understood, 130 after a signal, else 1. Any other error is a fault
 * of the program and is thrown on.
 */
export async function runCommand(main: () => Promise<void>): Promise<void> {
  // Whoever read what is printed, such as `head`, may have read enough; a terminal may have been closed.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error) => {
      if (!('code' in error && (error.code === 'EPIPE' || error.code === 'EIO'))) throw error;
      endWhereNobodyReads();
    });
  }
  const stopListening = endOnInterrupt();
  try {
    await main();
  } catch (error) {
    if (error instanceof Interrupted) {
      console.log(`\nInterrupted. ${error.message}`);
      process.exitCode = interruptedExitCode;
    } else if (error instanceof CommandError || error instanceof FrostgradError) {
      console.error(error.message);
      process.exitCode = error instanceof OptionError ? 2 : 1;
    } else throw error;
  } finally {
    stopListening();
  }
}
