/** What PyTorch calls otherwise: most programs run unchecked, where a name that is missing is `undefined`, and one that is set goes unseen. */
import { ArgumentError } from './errors.ts';

/**
 * Makes the names throw where they are read or set on what has this prototype.
 *
 * @param names what to write instead, by the name that is not here.
 */
export function tellNames(prototype: object, names: Readonly<Record<string, string>>): void {
  for (const [name, instead] of Object.entries(names)) {
    const tell = (): never => {
      throw new ArgumentError(`there is no '${name}' here: ${instead} (docs/coming-from-pytorch.md)`);
    };
    Object.defineProperty(prototype, name, { get: tell, set: tell });
  }
}
