/** Tokens, texts and chats beside the tokenizers library and transformers. */
import { readFileSync } from 'node:fs';
import { cp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  ArgumentError,
  type ChatMessage,
  ChatTemplateError,
  FileFormatError,
  loadTokenizer,
  TextStream,
} from '../../src/index.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { fixture } from './fixtures.ts';

interface Expected {
  ids: number[][];
  decoded_where_it_differs: Record<string, string>;
  any_ids: { ids: number[]; decoded: string }[];
  chats: { messages: ChatMessage[]; add_generation_prompt: boolean; text?: string; error?: string; ids?: number[] }[];
}

const strings: string[] = JSON.parse(readFileSync(fixture('tokenizers/strings.json'), 'utf8'));

describe.each(['byte-level', 'split', 'sentencepiece'])('%s', (name) => {
  const expected: Expected = JSON.parse(readFileSync(fixture(`tokenizers/${name}/expected.json`), 'utf8'));
  const loading = loadTokenizer(fixture(`tokenizers/${name}`));

  test('1,000 strings: the same ids', async () => {
    const tokenizer = await loading;
    expect(strings.map((text) => tokenizer.encode(text))).toEqual(expected.ids);
  });

  test('and the same texts back', async () => {
    const tokenizer = await loading;
    const texts = strings.map((text, i) => expected.decoded_where_it_differs[i] ?? text);
    expect(expected.ids.map((ids) => tokenizer.decode(ids))).toEqual(texts);
  });

  test('as a stream: the pieces together are the text', async () => {
    const tokenizer = await loading;
    // Where bytes have tokens of their own, one that is no UTF-8 takes back the characters before it.
    const loose = name === 'sentencepiece' ? [] : expected.any_ids.map(({ ids }) => ids);
    let pieces = 0;
    for (const ids of [...expected.ids, ...loose]) {
      const stream = new TextStream(tokenizer);
      const shown = ids.map((id) => stream.push(id));
      pieces += shown.filter((piece) => piece !== '').length;
      expect(shown.join('') + stream.end()).toBe(tokenizer.decode(ids));
    }
    expect(pieces).toBeGreaterThan(2000);
  });

  test('texts of loose ids, broken characters and special tokens among them', async () => {
    const tokenizer = await loading;
    const decoded = expected.any_ids.map(({ ids }) => tokenizer.decode(ids, { withSpecialTokens: true }));
    expect(decoded).toEqual(expected.any_ids.map(({ decoded }) => decoded));
  });

  test('chats', async () => {
    const tokenizer = await loading;
    for (const { messages, add_generation_prompt: addGenerationPrompt, text, error, ids } of expected.chats) {
      const render = () => tokenizer.chat(messages, { addGenerationPrompt });
      if (error === undefined) {
        expect(render()).toBe(text);
        expect(tokenizer.encode(render(), { addSpecialTokens: false })).toEqual(ids);
      } else {
        expect(render).toThrow(ChatTemplateError);
        expect(render).toThrow(error);
      }
    }
  });
});

test('special tokens by name', async () => {
  const tokenizer = await loadTokenizer(fixture('tokenizers/byte-level'));
  expect(tokenizer.specialTokens).toEqual({ bos_token: '<|im_start|>', eos_token: '<|im_end|>' });
  expect([tokenizer.endToken, tokenizer.idOf('<|im_start|>'), tokenizer.idOf('nothing')]).toEqual([2, 1, null]);
  expect(() => tokenizer.decode([1, 100_000])).toThrow(ArgumentError);
});

test('what cannot be used is said', async () => {
  await expect(loadTokenizer('/nowhere')).rejects.toThrow('/nowhere/tokenizer.json: there is no such file');
  const folder = temporaryFolder();
  await cp(fixture('tokenizers/split'), folder, { recursive: true });
  await rm(join(folder, 'chat_template.jinja'));
  const tokenizer = await loadTokenizer(folder);
  expect(() => tokenizer.chat([{ role: 'user', content: 'Hi' }])).toThrow('the folder has no chat template');
  await writeFile(
    join(folder, 'chat_template.jinja'),
    "{{ messages[0].content == false }} {{ messages[0].content == 'false' }}",
  );
  const compared = await loadTokenizer(folder);
  const answers = ['', 'false'].map((content) => compared.chat([{ role: 'user', content }]));
  expect(answers).toEqual(['false false', 'false true']);
  await writeFile(join(folder, 'chat_template.jinja'), '{% for %}');
  const broken = await loadTokenizer(folder);
  expect(() => broken.chat([])).toThrow(ChatTemplateError);
  await writeFile(join(folder, 'tokenizer.json'), '{"model":{"type":"Unheard"}}');
  await expect(loadTokenizer(folder)).rejects.toThrow(FileFormatError);
  await expect(loadTokenizer(folder)).rejects.toThrow('is no tokenizer that can be used');
});
