/** Text to tokens and back, and chats as the text that a model was trained on. */
import { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import { ArgumentError, ChatTemplateError, FileFormatError } from '../tensor/errors.ts';
import { platform } from '../tensor/platform/platform.ts';
import { isObject, type JsonObject, readJsonFile, readTextFile, shown } from './folder.ts';

export interface ChatMessage {
  /** `system`, `user`, `assistant`, or what else the template knows. */
  readonly role: string;
  readonly content: string;
}

/**
 * The tokenizer of a folder: tokenizer.json, tokenizer_config.json, and chat_template.jinja where there is one.
 *
 * @throws FileFormatError where tokenizer.json is missing or cannot be used.
 */
export async function loadTokenizer(folder: string): Promise<TextTokenizer> {
  const { join } = platform.files;
  const path = join(folder, 'tokenizer.json');
  const definition = await readJsonFile(path);
  if (!definition) throw new FileFormatError(`${path}: there is no such file`);
  const config = (await readJsonFile(join(folder, 'tokenizer_config.json'))) ?? {};
  const template = (await readTextFile(join(folder, 'chat_template.jinja'))) ?? templateIn(config);
  return new TextTokenizer(path, definition, config, template);
}

/** A tokenizer with the special tokens and the chat template of its folder. */
export class TextTokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #decoderSteps: readonly DecoderStep[] | null;
  readonly #special: ReadonlySet<number>;
  readonly #template: string | null;
  /** Special tokens by their role: bos_token, eos_token, … */
  readonly specialTokens: Readonly<Record<string, string>>;

  /** @throws FileFormatError for a definition that is none, naming `path`. */
  constructor(path: string, definition: JsonObject, config: JsonObject, template: string | null) {
    try {
      this.#tokenizer = new Tokenizer(asInRust(definition), config);
      this.#decoderSteps = decoderSteps(definition.decoder);
      const added = [...this.#tokenizer.get_added_tokens_decoder()];
      this.#special = new Set(added.filter(([, { special }]) => special).map(([id]) => id));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new FileFormatError(`${path}: is no tokenizer that can be used: ${reason}`, { cause });
    }
    this.#template = template;
    this.specialTokens = specialTokensOf(config);
  }

  /** The token that ends a text, or null. */
  get endToken(): number | null {
    const token = this.specialTokens.eos_token;
    return token === undefined ? null : this.idOf(token);
  }

  /** The number of a token by its text; null where there is none. */
  idOf(token: string): number | null {
    return this.#tokenizer.token_to_id(token) ?? null;
  }

  /**
   * The tokens of a text.
   *
   * @param options `addSpecialTokens`: whether those are added that the model expects around a text, as a first one; true by
   * default. What `chat` gives has them already.
   */
  encode(text: string, { addSpecialTokens = true }: { addSpecialTokens?: boolean } = {}): number[] {
    return this.#tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids;
  }

  /** The text of tokens. Special ones are left out, unless they are asked for. */
  decode(tokens: readonly number[], { withSpecialTokens = false }: { withSpecialTokens?: boolean } = {}): string {
    const stray = tokens.find((token) => this.#tokenizer.id_to_token(token) === undefined);
    if (stray !== undefined) throw new ArgumentError(`decode: ${stray} is no token of the vocabulary`);
    const kept = withSpecialTokens ? [...tokens] : tokens.filter((token) => !this.#special.has(token));
    if (kept.length === 0) return '';
    if (!this.#decoderSteps) return this.#tokenizer.decode(kept, { clean_up_tokenization_spaces: false });
    let texts: readonly string[] = kept.map((token) => this.#tokenizer.id_to_token(token) ?? '');
    for (const step of this.#decoderSteps) texts = step(texts);
    return texts.join('');
  }

  /**
   * A chat as the text that the model was trained on.
   *
   * @param options `addGenerationPrompt`: whether the answer of the assistant is begun, true by default.
   * @throws ChatTemplateError where the folder has no template, or it refuses the chat.
   */
  chat(
    messages: readonly ChatMessage[],
    { addGenerationPrompt = true }: { addGenerationPrompt?: boolean } = {},
  ): string {
    if (this.#template === null) throw new ChatTemplateError('chat: the folder has no chat template');
    try {
      const variables = { ...this.specialTokens, messages, add_generation_prompt: addGenerationPrompt };
      const template = new Template(this.#template);
      compareAsInPython(template.parsed);
      return template.render(variables);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new ChatTemplateError(`chat: the template refuses the messages: ${reason}`, { cause });
    }
  }
}

/**
 * Text as its tokens come. A character may need several tokens, and is shown when it is whole: a text that ends in � waits. The
 * pieces together are what `decode` gives for all tokens, unless bytes follow a whole character that are none: `decode` then
 * takes back that character too, where bytes have tokens of their own.
 */
export class TextStream {
  readonly #tokenizer: TextTokenizer;
  #tokens: number[] = [];
  /** How many of the tokens have been shown. They stay as context: how a token reads can depend on the one before. */
  #shown = 0;

  constructor(tokenizer: TextTokenizer) {
    this.#tokenizer = tokenizer;
  }

  /** The text that this token makes whole; empty where it has to wait. */
  push(token: number): string {
    this.#tokens.push(token);
    const piece = this.#rest();
    if (piece === '' || piece.endsWith('\ufffd')) return '';
    this.#tokens = this.#tokens.slice(this.#shown);
    this.#shown = this.#tokens.length;
    return piece;
  }

  /** What still waits when there are no more tokens. */
  end(): string {
    const piece = this.#rest();
    this.#tokens = [];
    this.#shown = 0;
    return piece;
  }

  #rest(): string {
    const before = this.#tokenizer.decode(this.#tokens.slice(0, this.#shown));
    return this.#tokenizer.decode(this.#tokens).slice(before.length);
  }
}

/**
 * Turns `x == false` into `x is false` wherever it stands below `node`, and so on. The package compares as JavaScript's == does,
 * to which an empty text is false: the template of Llama 2 would drop an empty system message.
 */
function compareAsInPython(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  for (const child of Object.values(node)) compareAsInPython(child);
  if (!('type' in node && node.type === 'BinaryExpression' && 'operator' in node && 'right' in node && 'left' in node))
    return;
  const { operator, right } = node;
  const comparison = isObject(operator) ? operator.value : null;
  const test = isObject(right) && right.type === 'Identifier' ? right.value : null;
  if ((comparison !== '==' && comparison !== '!=') || (test !== 'true' && test !== 'false')) return;
  Object.assign(node, {
    type: 'TestExpression',
    operand: node.left,
    negate: comparison === '!=',
    test: { value: test },
  });
}

/** The template in tokenizer_config.json: a text, or one of several by name. */
function templateIn({ chat_template: template }: JsonObject): string | null {
  if (typeof template === 'string') return template;
  const named = Array.isArray(template) ? template.filter(isObject) : [];
  const chosen = named.find(({ name }) => name === 'default') ?? named[0];
  return typeof chosen?.template === 'string' ? chosen.template : null;
}

/** Texts of the keys that end in _token: each is a text, or an object that has it as its content. */
function specialTokensOf(config: JsonObject): Record<string, string> {
  const entries = Object.entries(config).flatMap(([key, value]): [string, string][] => {
    const text = isObject(value) ? value.content : value;
    return key.endsWith('_token') && typeof text === 'string' ? [[key, text]] : [];
  });
  return Object.fromEntries(entries);
}

const gpt2Pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/**
 * The definition with two steps said in another way. The package splits at JavaScript's digits (0 to 9) and spaces (U+FEFF is
 * one, U+0085 is none) in them; what trained the vocabularies goes by Unicode. In an expression of its own it does too.
 */
function asInRust(definition: JsonObject): JsonObject {
  const split = (expression: string) => ({
    type: 'Split',
    pattern: { Regex: expression },
    behavior: 'Isolated',
    invert: false,
  });
  const rewrite = (step: unknown): unknown => {
    if (!isObject(step)) return step;
    if (step.type === 'Sequence' && Array.isArray(step.pretokenizers)) {
      return { ...step, pretokenizers: step.pretokenizers.map(rewrite) };
    }
    if (step.type === 'Digits') return split(step.individual_digits === true ? '\\p{N}' : '\\p{N}+');
    if (step.type === 'ByteLevel' && step.use_regex !== false && step.add_prefix_space !== true) {
      return { type: 'Sequence', pretokenizers: [split(gpt2Pattern), { ...step, use_regex: false }] };
    }
    return step;
  };
  return { ...definition, pre_tokenizer: rewrite(definition.pre_tokenizer) };
}

type DecoderStep = (texts: readonly string[]) => readonly string[];

/**
 * The steps of a decoder that puts bytes together, or null for the others, which the package decodes. Its own form of this one
 * drops U+FEFF, and reads part of a row of bytes that is no UTF-8.
 */
function decoderSteps(decoder: unknown): DecoderStep[] | null {
  const steps =
    isObject(decoder) && decoder.type === 'Sequence' && Array.isArray(decoder.decoders) ? decoder.decoders : [];
  if (!steps.some((step) => isObject(step) && step.type === 'ByteFallback')) return null;
  return steps.map((step: unknown): DecoderStep => {
    const { type, pattern, content, start, stop } = isObject(step) ? step : {};
    if (type === 'ByteFallback') return joinBytes;
    if (type === 'Fuse') return (texts) => [texts.join('')];
    if (type === 'Replace' && isObject(pattern) && typeof pattern.String === 'string' && typeof content === 'string') {
      const { String: from } = pattern;
      return (texts) => texts.map((text) => text.replaceAll(from, () => content));
    }
    if (type === 'Strip' && typeof content === 'string' && typeof start === 'number' && typeof stop === 'number') {
      return (texts) => texts.map((text) => strip(text, content, start, stop));
    }
    throw new FileFormatError(`the step ${shown(step)} of the decoder is not known`);
  });
}

/** Neighbouring tokens such as <0xE2> become the text that they spell, or a � each where it is no UTF-8. */
function joinBytes(texts: readonly string[]): string[] {
  const joined: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    try {
      joined.push(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes)));
    } catch {
      joined.push('\ufffd'.repeat(bytes.length));
    }
    bytes = [];
  };
  for (const text of texts) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(text);
    if (byte) bytes.push(Number.parseInt(byte[1], 16));
    else {
      flush();
      joined.push(text);
    }
  }
  flush();
  return joined;
}

/** Takes up to `start` times `content` from the front, and up to `stop` times from the end. */
function strip(text: string, content: string, start: number, stop: number): string {
  let stripped = text;
  for (let i = 0; i < start && stripped.startsWith(content); i++) stripped = stripped.slice(content.length);
  for (let i = 0; i < stop && stripped.endsWith(content); i++) stripped = stripped.slice(0, -content.length);
  return stripped;
}
