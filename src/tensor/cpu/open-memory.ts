/** The memory of this process and the form of its functions: the choice, and the check of it. */
import { ArgumentError } from '../errors.ts';
import { getOrCreate } from '../get-or-create.ts';
import { platform } from '../platform/platform.ts';
import { LinearMemory } from './linear-memory.ts';
import { largestDifference } from './self-check.ts';
import { checkForm, type SimdForm } from './simd-form.ts';

/** One for all devices of a form: 4 GiB of addresses are reserved once a process. */
const opened = new Map<SimdForm, LinearMemory>();
/** The fastest form that this engine runs. */
let preferred: LinearMemory | null | undefined;

const cannotRead =
  'cpu device: this engine cannot read the compiled vector loops, so plain loops run, many times slower (where the file is ' +
  'damaged, node scripts/setup.mjs builds it anew)';

/** The form that FROSTGRAD_CPU names; null where it names none. @throws ArgumentError for another word. */
export function formFromEnvironment(): SimdForm | null {
  const named = platform.environment('FROSTGRAD_CPU');
  return named ? checkForm(named, 'FROSTGRAD_CPU') : null;
}

/**
 * The memory of this process, with the functions in the form that is asked for or that FROSTGRAD_CPU names, else in the fastest that
 * this engine runs; null where none is built, or the machine cannot run them.
 *
 * @throws ArgumentError for a form that was asked for and cannot run.
 */
export function linearMemory(asked: SimdForm | null = formFromEnvironment()): LinearMemory | null {
  if (asked !== null) return getOrCreate(opened, asked, () => openForm(asked));
  if (preferred === undefined) preferred = openPreferred();
  return preferred;
}

function openPreferred(): LinearMemory | null {
  for (const form of platform.preferredForms) {
    const bytes = platform.readVectorLoops(form);
    if (!bytes) continue;
    if (!WebAssembly.validate(bytes)) {
      if (form === 'plain') platform.warn(cannotRead);
      continue;
    }
    try {
      return getOrCreate(opened, form, () => openForm(form));
    } catch (error) {
      if (!(error instanceof ArgumentError)) throw error;
      platform.warn(error.message);
    }
  }
  return null;
}

function openForm(form: SimdForm): LinearMemory {
  const bytes = platform.readVectorLoops(form);
  if (!bytes) throw new ArgumentError(`cpu device: the form ${form} is not built (node scripts/setup.mjs builds it)`);
  const memory = instantiate(form, bytes);
  const difference = largestDifference(memory);
  if (difference <= 1) return memory;
  throw new ArgumentError(
    `cpu device: the form ${form} is not used, because a product came out wrong by ${difference.toPrecision(2)} times ` +
      'what rounding explains',
  );
}

function instantiate(form: SimdForm, bytes: Uint8Array<ArrayBuffer>): LinearMemory {
  try {
    platform.enableForm(form);
    return new LinearMemory(form, new WebAssembly.Module(bytes));
  } catch (error) {
    // No such vectors, or no room for the addresses.
    if (!(error instanceof WebAssembly.CompileError || error instanceof RangeError)) throw error;
    throw new ArgumentError(`cpu device: the form ${form} cannot run here: ${error.message}`, { cause: error });
  }
}
