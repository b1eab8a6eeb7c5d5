/** What models are trained and scored on: one JSON object in each line of a file. */

import { readFileSync } from 'node:fs';
import type { ChatMessage } from '../../src/index.ts';
import { DatasetError } from '../data/files.ts';
import {
  type Choices,
  FieldError,
  type Fields,
  fromTemplate,
  isText,
  shown,
  type TemplateName,
  textOf,
} from './templates.ts';

/** Where an item stands in its file, from 1. */
interface Placed {
  readonly line: number;
}

export type TextItem = Placed & { readonly text: string };
export type ChoiceItem = Placed & Choices;
export type CompletionItem = Placed & { readonly prompt: string; readonly completion: string };
export type ChatItem = Placed & { readonly messages: readonly ChatMessage[] };

/** All items of a file are of one form. */
export type Items =
  | { readonly kind: 'text'; readonly items: readonly TextItem[] }
  | { readonly kind: 'choice'; readonly items: readonly ChoiceItem[] }
  | { readonly kind: 'completion'; readonly items: readonly CompletionItem[] }
  | { readonly kind: 'chat'; readonly items: readonly ChatItem[] };

/** The form of a line, told by its keys. */
export const forms: Readonly<Record<Items['kind'], string>> = {
  text: '{"text"}',
  choice: '{"question", "choices", "answer"}',
  completion: '{"prompt", "completion"}',
  chat: '{"messages"}',
};

export interface ReadOptions {
  /** The task that the lines come from; then its fields make the questions. */
  template?: TemplateName | null;
  /** Only so many are kept; all lines are checked. */
  limit?: number | null;
}

/**
 * The items of a file, all of the form that the first line has. Empty lines are passed over.
 *
 * @throws {DatasetError} it names the file and the line.
 */
export function readItems(path: string, { template = null, limit }: ReadOptions = {}): Items {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    throw new DatasetError(
      `${path} cannot be read (${error instanceof Error && 'code' in error ? error.code : error})`,
    );
  }
  const found = {
    text: [] as TextItem[],
    choice: [] as ChoiceItem[],
    completion: [] as CompletionItem[],
    chat: [] as ChatItem[],
  };
  let kind: Items['kind'] | null = null;
  for (const [i, written] of content.split('\n').entries()) {
    if (written.trim() === '') continue;
    const refuse = (reason: string) => new DatasetError(`${path}, line ${i + 1}: ${reason}`);
    const fields = fieldsIn(written, refuse);
    const own = template === null ? kindOf(fields) : 'choice';
    kind ??= own;
    if (own === null || kind === null) {
      throw refuse(`has none of the known forms (allowed: ${Object.values(forms).join(', ')}; or name a --template)`);
    }
    if (own !== kind)
      throw refuse(`is ${forms[own]}, the lines before are ${forms[kind]} (allowed: one form in a file)`);
    const line = i + 1;
    try {
      if (own === 'text') found.text.push({ text: textOf(fields, 'text'), line });
      else if (own === 'chat') found.chat.push({ messages: messagesIn(fields), line });
      else if (own === 'completion') {
        found.completion.push({ prompt: textOf(fields, 'prompt'), completion: textOf(fields, 'completion'), line });
      } else found.choice.push({ ...(template === null ? questionIn(fields) : fromTemplate(template, fields)), line });
    } catch (error) {
      throw error instanceof FieldError ? refuse(error.message) : error;
    }
  }
  const kept = <Item>(items: readonly Item[]) => items.slice(0, limit ?? items.length);
  if (kind === 'text') return { kind, items: kept(found.text) };
  if (kind === 'choice') return { kind, items: kept(found.choice) };
  if (kind === 'completion') return { kind, items: kept(found.completion) };
  if (kind === 'chat') return { kind, items: kept(found.chat) };
  throw new DatasetError(`${path} has no items`);
}

function fieldsIn(line: string, refuse: (reason: string) => DatasetError): Fields {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw refuse('is no JSON');
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw refuse('is no JSON object');
}

function kindOf(fields: Fields): Items['kind'] | null {
  const has = (name: string) => Object.hasOwn(fields, name);
  if (has('messages')) return 'chat';
  if (has('prompt') || has('completion')) return 'completion';
  if (has('question')) return 'choice';
  return has('text') ? 'text' : null;
}

/** Asked as lm-evaluation-harness asks in its plainest tasks. */
function questionIn(fields: Fields): Choices {
  const question = textOf(fields, 'question');
  const { choices, answer } = fields;
  if (!(Array.isArray(choices) && choices.length > 1 && choices.every(isText))) {
    throw new FieldError('"choices" must be two texts or more, none of them empty');
  }
  if (!(typeof answer === 'number' && Number.isInteger(answer) && answer >= 0 && answer < choices.length)) {
    throw new FieldError(`"answer" is ${shown(answer)} (allowed: 0 … ${choices.length - 1}, the number of a choice)`);
  }
  return { prompts: [`Question: ${question}\nAnswer:`], choices, answer };
}

function messagesIn({ messages }: Fields): ChatMessage[] {
  if (!Array.isArray(messages)) throw new FieldError(`"messages" is ${shown(messages)} (allowed: a list)`);
  const read = messages.map((each: unknown): ChatMessage => {
    const fields: Fields = { ...Object(each) };
    return { role: textOf(fields, 'role'), content: textOf(fields, 'content') };
  });
  if (read.some(({ role }) => role === 'assistant')) return read;
  throw new FieldError('"messages" has none whose "role" is "assistant": nothing could be learned from it');
}
