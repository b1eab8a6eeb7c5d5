/** The items of an evaluation: one JSON object in each line of a file. */

import { readFileSync } from 'node:fs';
import { DatasetError } from '../data/files.ts';

export interface TextItem {
  readonly text: string;
  /** Where it stands in its file, from 1. */
  readonly line: number;
}

export interface ChoiceItem {
  readonly question: string;
  readonly choices: readonly string[];
  /** The number of the right choice, from 0. */
  readonly answer: number;
  /** Where it stands in its file, from 1. */
  readonly line: number;
}

export type Items =
  | { readonly kind: 'text'; readonly items: readonly TextItem[] }
  | { readonly kind: 'choice'; readonly items: readonly ChoiceItem[] };

/**
 * The items of a file, all texts or all questions, as the first line is. Empty lines are passed over.
 *
 * @param limit only so many are kept; all lines are checked.
 * @throws {DatasetError} it names the file and the line.
 */
export function readItems(path: string, limit = Number.POSITIVE_INFINITY): Items {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    throw new DatasetError(
      `${path} cannot be read (${error instanceof Error && 'code' in error ? error.code : error})`,
    );
  }
  const texts: TextItem[] = [];
  const questions: ChoiceItem[] = [];
  for (const [i, line] of content.split('\n').entries()) {
    if (line.trim() === '') continue;
    const refuse = (reason: string) => new DatasetError(`${path}, line ${i + 1}: ${reason}`);
    const item = itemIn(line, i + 1, refuse);
    if ('text' in item) texts.push(item);
    else questions.push(item);
    if (texts.length > 0 && questions.length > 0) {
      throw refuse('texts and questions are mixed (allowed: a file of the one or of the other)');
    }
  }
  if (texts.length > 0) return { kind: 'text', items: texts.slice(0, limit) };
  if (questions.length > 0) return { kind: 'choice', items: questions.slice(0, limit) };
  throw new DatasetError(`${path} has no items`);
}

function itemIn(content: string, line: number, refuse: (reason: string) => DatasetError): TextItem | ChoiceItem {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    throw refuse('is no JSON');
  }
  const { text, question, choices, answer } = Object(value);
  if (isText(text)) return { text, line };
  if (!isText(question)) throw refuse('has neither "text" nor "question" (allowed: a text that is not empty)');
  if (!(Array.isArray(choices) && choices.length > 1 && choices.every(isText))) {
    throw refuse('"choices" must be two texts or more, none of them empty');
  }
  if (!(Number.isInteger(answer) && answer >= 0 && answer < choices.length)) {
    throw refuse(`"answer" is ${JSON.stringify(answer)} (allowed: 0 … ${choices.length - 1}, the number of a choice)`);
  }
  return { question, choices, answer, line };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
