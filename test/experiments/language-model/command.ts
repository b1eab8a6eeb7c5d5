/** A command run by itself on a small model whose tokens are characters. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { fixture } from '../../pretrained/fixtures.ts';
import { temporaryFolder, writeFiles } from '../../temporary-folder.ts';

/** The characters in the order of their tokens: 96, as many as the small models know. `~` ends a text. */
export const characters = `${Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('')}\n`;

const tokenizer = {
  version: '1.0',
  added_tokens: [
    { id: 94, content: '~', special: true, normalized: false, lstrip: false, rstrip: false, single_word: false },
  ],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: { type: 'Fuse' },
  model: { type: 'BPE', vocab: Object.fromEntries([...characters].map((each, i) => [each, i])), merges: [] },
};

/** A folder with the small llama and that tokenizer; by default one that goes with the test. */
export function smallModel(folder = temporaryFolder()): string {
  cpSync(fixture('models/llama'), folder, { recursive: true });
  writeFiles(folder, {
    'tokenizer.json': JSON.stringify(tokenizer),
    'tokenizer_config.json': JSON.stringify({ eos_token: '~' }),
    'chat_template.jinja': '{% for m in messages %}[{{ m.content }}]{% endfor %}',
  });
  return folder;
}

export async function run(command: 'generate' | 'evaluate' | 'finetune', ...options: readonly string[]) {
  const script = fileURLToPath(new URL(`../../../experiments/language-model/${command}.ts`, import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', script, ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk) => {
      printed[name] += chunk;
    });
  }
  const [code] = await once(child, 'close');
  return { ...printed, code };
}
