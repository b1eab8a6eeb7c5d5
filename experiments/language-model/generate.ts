/** `npm run generate`: a model goes on with a text or answers a question. */

import { formatSeconds } from '../../command/format.ts';
import { Interrupted, listenForInterrupt } from '../../command/interrupt.ts';
import { number, OptionError, outputFile, readOptions, text, wholeNumber } from '../../command/options.ts';
import { runCommand } from '../../command/run.ts';
import { writeResults } from '../../command/run-folder.ts';
import { generate, TextStream } from '../../src/index.ts';
import { modelOptions, openModel } from './open-model.ts';

const command = 'npm run generate';

await runCommand(async () => {
  const options = readOptions({
    command,
    about:
      'Text from a language model: it goes on with --prompt, or answers --chat in the form that it was trained on. ' +
      'Ctrl-C ends the text.',
    argv: process.argv.slice(2),
    options: {
      ...modelOptions,
      prompt: text({ help: 'goes on with this text' }),
      chat: text({ help: 'answers this message' }),
      tokens: wholeNumber({ from: 1, to: 1_000_000, default: 256, help: 'how many at most' }),
      temperature: number({ from: 0, to: 100, default: 0, help: 'above 0 draws; 0 takes the likeliest token' }),
      'top-k': wholeNumber({ from: 0, to: 1_000_000, default: 0, help: 'draw from so many tokens; 0: from all' }),
      'top-p': number({
        ...{ from: 0.001, to: 1, default: 1 },
        help: 'draw from the likeliest that together have this probability',
      }),
      seed: wholeNumber({ from: 0, to: 2 ** 32 - 1, default: 0, help: 'of the draws' }),
      json: outputFile({ help: 'also write tokens, text and times to this file' }),
    },
  });
  if (!options) return;
  const { prompt, chat, temperature, 'top-k': topK, 'top-p': topP, seed, tokens: maxTokens } = options;
  if ((prompt === null) === (chat === null)) {
    const got = prompt === null ? 'neither' : 'both';
    throw new OptionError(`one of --prompt and --chat must be given, got ${got}`, command);
  }
  if (temperature === 0 && (topK > 0 || topP < 1)) {
    throw new OptionError('--top-k and --top-p need a --temperature above 0, got 0', command);
  }
  const { pretrained, model, tokenizer, device, loadSeconds } = await openModel(options, command);

  const promptTokens =
    chat === null
      ? tokenizer.encode(prompt ?? '')
      : tokenizer.encode(tokenizer.chat([{ role: 'user', content: chat }]), { addSpecialTokens: false });
  const ofTokenizer = tokenizer.endToken;
  const stopTokens = [...pretrained.endTokens, ...(ofTokenizer === null ? [] : [ofTokenizer])];

  const interrupt = listenForInterrupt();
  const stream = new TextStream(tokenizer);
  const tokens: number[] = [];
  let whole = '';
  const show = (piece: string) => {
    whole += piece;
    process.stdout.write(piece);
  };
  console.log();
  if (prompt !== null) process.stdout.write(prompt);
  const started = performance.now();
  let firstAt = started;
  for await (const token of generate(model, promptTokens, { maxTokens, temperature, topK, topP, seed, stopTokens })) {
    if (tokens.length === 0) firstAt = performance.now();
    tokens.push(token);
    show(stream.push(token));
    if (interrupt.signal.aborted) break;
  }
  show(stream.end());
  const ended = performance.now();
  interrupt.release();

  // The first token comes with the reading of the prompt.
  const readSeconds = (firstAt - started) / 1000;
  const seconds = (ended - firstAt) / 1000;
  const tokensPerSecond = tokens.length > 1 ? (tokens.length - 1) / seconds : null;
  const speed = tokensPerSecond === null ? '' : ` (${tokensPerSecond.toFixed(1)} tokens/s)`;
  const total = formatSeconds(readSeconds + seconds);
  console.log(`\n\n${promptTokens.length} tokens read, ${tokens.length} tokens written in ${total}${speed}`);
  if (options.json !== null) {
    const { model: folder, adapter } = options;
    const asked = { model: folder, adapter, prompt, chat, maxTokens, temperature, topK, topP, seed };
    const times = { loadSeconds, secondsToFirstToken: readSeconds, seconds, tokensPerSecond };
    writeResults(options.json, { ...asked, device: device.kind, promptTokens, tokens, text: whole, ...times });
  }
  if (interrupt.signal.aborted) throw new Interrupted('The text ends here.');
});
