import { installedPackages } from '../../data/files.ts';
import { textKey } from '../../data/random.ts';
import { drawWindow, type LoadedClass, loadTexts, type Text } from '../../data/texts.ts';

/** One more than a window, so that the byte that follows it can be asked for. */
const drawnBytes = 33;

/** The files of one kind, in three parts: training and held out by package, and what is held out by file. */
export interface FileKind {
  readonly name: string;
  readonly training: readonly Text[];
  readonly validation: readonly Text[];
  readonly test: readonly Text[];
}

let loaded: readonly FileKind[] | null = null;

/** The files of `node_modules`, read once. */
export function fileKinds(): readonly FileKind[] {
  loaded ??= loadTexts(installedPackages(), drawnBytes).classes.map(divide);
  return loaded;
}

/** Every other held-out file, in the order of a hash of its name. */
function divide({ className, training, heldOut }: LoadedClass): FileKind {
  const ordered = [...heldOut].sort((a, b) => textKey(a.name) - textKey(b.name) || (a.name < b.name ? -1 : 1));
  return {
    name: className,
    training,
    validation: ordered.filter((_, i) => i % 2 === 0),
    test: ordered.filter((_, i) => i % 2 === 1),
  };
}

/** A window of one of the texts: file first, then place, each uniform. */
export function drawFrom(texts: readonly Text[], ...key: readonly number[]): Uint8Array {
  return drawWindow(texts, drawnBytes, ...key);
}
