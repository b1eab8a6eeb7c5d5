import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { generate, loadAdapter, loadPretrained } from '../../../src/index.ts';
import { cpu } from '../../devices.ts';
import { fixture } from '../../pretrained/fixtures.ts';
import { temporaryFolder } from '../../temporary-folder.ts';
import { characters, run, smallModel } from './command.ts';

const tokensOf = (text: string) => [...text].map((each) => characters.indexOf(each));

/** What the library gives, until the model's own end. */
async function expected(text: string, adapter: string | null, options: Parameters<typeof generate>[2]) {
  const pretrained = await loadPretrained(fixture('models/llama'), { device: cpu });
  if (adapter) await loadAdapter(pretrained, adapter);
  const tokens: number[] = [];
  const stopTokens = [tokensOf('~')[0]];
  for await (const token of generate(pretrained.model, tokensOf(text), { stopTokens, ...options })) tokens.push(token);
  return tokens;
}

test('the text is shown as it was generated, after the prompt', async () => {
  const file = join(temporaryFolder(), 'text.json');
  const asked = ['--model', smallModel(), '--device', 'cpu', '--tokens', '20'];
  const { stdout, stderr, code } = await run('generate', ...asked, '--prompt', 'Once upon', '--json', file);
  expect([stderr, code]).toEqual(['', 0]);
  const tokens = await expected('Once upon', null, { maxTokens: 20 });
  const text = tokens.map((token) => characters[token]).join('');
  expect(tokens.length).toBeGreaterThan(3);
  expect(stdout).toContain(`\n\nOnce upon${text}\n\n`);
  expect(stdout).toMatch(/LlamaForCausalLM, [\d.]+ k weights in f32, on cpu/);
  expect(stdout).toMatch(new RegExp(`9 tokens read, ${tokens.length} tokens written in .* s \\([\\d.]+ tokens/s\\)`));
  const written = JSON.parse(readFileSync(file, 'utf8'));
  expect(written).toMatchObject({ promptTokens: tokensOf('Once upon'), tokens, text, device: 'cpu' });
});

test('a chat goes through the template; draws follow the seed; an adapter counts', async () => {
  const file = join(temporaryFolder(), 'text.json');
  const adapter = fixture('adapters/llama');
  const drawing = ['--temperature', '0.8', '--top-k', '40', '--top-p', '0.9', '--seed', '7'];
  const { code } = await run(
    'generate',
    ...['--model', smallModel(), '--adapter', adapter, '--device', 'cpu', '--tokens', '12', '--json', file],
    ...['--chat', 'Hello', ...drawing],
  );
  expect(code).toBe(0);
  const written = JSON.parse(readFileSync(file, 'utf8'));
  expect(written.promptTokens).toEqual(tokensOf('[Hello]'));
  const options = { maxTokens: 12, temperature: 0.8, topK: 40, topP: 0.9, seed: 7 };
  const tokens = await expected('[Hello]', adapter, options);
  expect(written.tokens).toEqual(tokens);
  expect(await expected('[Hello]', null, options)).not.toEqual(tokens);
});

test.each<[string[], RegExp, number]>([
  [['--prompt', 'a'], /--model must be given/, 2],
  [['--model', 'x'], /one of --prompt and --chat must be given, got neither/, 2],
  [['--model', 'x', '--prompt', 'a', '--chat', 'b'], /must be given, got both/, 2],
  [['--model', 'x', '--prompt', 'a', '--top-k', '5'], /need a --temperature above 0/, 2],
  [['--model', 'x', '--prompt', 'a', '--temperature', 'hot'], /must be a number from 0 to 100, got 'hot'/, 2],
  [['--model', '/nowhere', '--prompt', 'a'], /\/nowhere\/tokenizer.json: there is no such file/, 1],
  [['--model', fixture('tokenizers/split'), '--prompt', 'a'], /config.json: there is no such file/, 1],
])('%j is refused in one line or two', async (options, message, status) => {
  const { stderr, code } = await run('generate', ...options, '--device', 'cpu');
  expect(stderr).toMatch(message);
  expect(stderr.trim().split('\n').length).toBeLessThan(3);
  expect(code).toBe(status);
});

test('--help lists the options', async () => {
  const { stdout, code } = await run('generate', '--help');
  for (const option of [
    'model',
    'adapter',
    'prompt',
    'chat',
    'tokens',
    'temperature',
    'top-k',
    'top-p',
    'seed',
    'json',
  ]) {
    expect(stdout).toContain(`--${option} `);
  }
  expect(code).toBe(0);
});
