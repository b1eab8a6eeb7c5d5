import { textKey } from '../../fragments/dataset/random.ts';
import { blocksOf } from '../../fragments/dataset/repeats.ts';
import { drawWindow, joined, type Text } from '../../fragments/dataset/texts.ts';
import { findVerbatim } from '../../fragments/dataset/verbatim.ts';
import { installedPackages, type LoadedClass, loadTexts, SPLIT_SEED } from '../../fragments/dataset.ts';

/** One more than a window, so that the byte that follows it can be asked for. */
export const drawnBytes = 33;

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
  loaded ??= loadTexts(installedPackages(), drawnBytes, SPLIT_SEED, () => {})
    .filter(({ heldOut, training }) => heldOut.length >= 8 && training.length >= 4)
    .map(divide);
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

/** Which of the windows stand anywhere in the texts to train on, of whatever kind. */
export function standsInTraining(windows: readonly Uint8Array[], bytes: number): Uint8Array {
  return findVerbatim(joined(windows, bytes), bytes, blocksOf(fileKinds().flatMap(({ training }) => training)));
}

/** A window of one of the texts: file first, then place, each uniform. */
export function drawFrom(texts: readonly Text[], ...key: readonly number[]): Uint8Array {
  return drawWindow(texts, drawnBytes, ...key);
}
