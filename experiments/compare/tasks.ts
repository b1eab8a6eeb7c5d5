/** The tasks by their names. */

import { ArgumentError } from '../../src/index.ts';
import { fileTask, fileTaskNames } from './tasks/file-tasks.ts';
import { sequenceTask, sequenceTaskNames } from './tasks/sequence-tasks.ts';
import type { Task } from './tasks/task.ts';

export const taskNames = [...fileTaskNames, ...sequenceTaskNames] as const;
export type TaskName = (typeof taskNames)[number];

const made = new Map<string, Task>();

/**
 * Each is made once, for its items take a while to draw.
 *
 * @throws ArgumentError for a name there is no task of.
 */
export function loadTask(name: string): Task {
  const task = made.get(name) ?? makeTask(name);
  made.set(name, task);
  return task;
}

function makeTask(name: string): Task {
  const fromFiles = fileTaskNames.find((each) => each === name);
  if (fromFiles) return fileTask(fromFiles);
  const fromSequences = sequenceTaskNames.find((each) => each === name);
  if (fromSequences) return sequenceTask(fromSequences);
  throw new ArgumentError(`there is no task '${name}' (allowed: ${taskNames.join(', ')})`);
}
