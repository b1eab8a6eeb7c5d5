import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { BatchOrder, batchOf, byLength, ignored, readSplits } from '../../../experiments/language-model/samples.ts';
import { loadTokenizer, readSafetensors } from '../../../src/index.ts';
import { temporaryFolder, writeFiles } from '../../temporary-folder.ts';
import { characters, run, smallModel } from './command.ts';

const tokensOf = (text: string) => [...text].map((each) => characters.indexOf(each));

/** A folder of data; each split is given as its lines. */
function dataFolder(splits: Partial<Record<'train' | 'valid' | 'test', readonly object[]>>): string {
  const folder = temporaryFolder();
  for (const [name, lines] of Object.entries(splits)) {
    writeFiles(folder, { [`${name}.jsonl`]: lines.map((line) => JSON.stringify(line)).join('\n') });
  }
  return folder;
}

const question = (i: number) => ({ question: `Is ${i} even?`, choices: ['yes', 'no'], answer: i % 2 });
const questions = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => question(from + i));
const numbers = () => dataFolder({ train: questions(0, 27), valid: questions(30, 36), test: questions(40, 46) });

async function samplesOf(line: object, contextLength = 96) {
  const model = smallModel();
  const data = dataFolder({ train: [line], valid: [line], test: [line] });
  return readSplits(data, { tokenizer: await loadTokenizer(model), contextLength, template: null }).train.samples;
}

/** What is learned, with a dot where nothing is. */
const learned = ({ targets }: { targets: readonly number[] }) =>
  targets.map((target) => (target === ignored ? '·' : characters[target])).join('');

describe('what is learned of each form', () => {
  test('the completion and the end of the text', async () => {
    const [sample] = await samplesOf({ prompt: 'one two ', completion: 'three' });
    expect(sample.tokens).toEqual(tokensOf('one two three'));
    // The space at the end of the prompt goes with the completion.
    expect(learned(sample)).toBe('······ three~');
    expect(sample.learned).toBe(7);
  });

  test('the answers of the assistant', async () => {
    const messages = [
      { role: 'user', content: 'a?' },
      { role: 'assistant', content: 'b' },
      { role: 'user', content: 'c?' },
      { role: 'assistant', content: 'dd' },
    ];
    const [sample] = await samplesOf({ messages });
    expect(sample.tokens).toEqual(tokensOf('[a?][b][c?][dd'));
    expect(learned(sample)).toBe('···[b]····[dd]');
  });

  test('the right choice', async () => {
    const [sample] = await samplesOf({ question: 'q', choices: ['no', 'yes'], answer: 1 });
    expect(learned(sample)).toBe(`${'·'.repeat('Question: q\nAnswer:'.length - 1)} yes`);
  });

  test('all of a text, in pieces as long as the context, every token but the first once', async () => {
    const samples = await samplesOf({ text: 'abcdefg' }, 3);
    expect(samples.map(learned)).toEqual(['bcd', 'efg', '~']);
    expect(samples.map(({ tokens }) => tokens)).toEqual(['abc', 'def', 'g'].map(tokensOf));
  });
});

describe('batches', () => {
  const samples = Array.from({ length: 41 }, (_, index) => ({
    ...{ index, tokens: new Array<number>((index * 7) % 13).fill(1).concat(1), learned: 1 },
    targets: new Array<number>(((index * 7) % 13) + 1).fill(2),
  }));

  test('each epoch has every sample once, in an order of its own, none alone', () => {
    const order = new BatchOrder(samples, 8, 3);
    const epoch = (e: number) =>
      Array.from({ length: order.batchesPerEpoch }, (_, i) => order.batch(e * order.batchesPerEpoch + i));
    const [first, second] = [epoch(0), epoch(1)];
    for (const each of [first, second]) {
      expect(
        each
          .flat()
          .map(({ index }) => index)
          .sort((a, b) => a - b),
      ).toEqual(samples.map(({ index }) => index));
      expect(Math.min(...each.map(({ length }) => length))).toBeGreaterThan(1);
    }
    expect(first).not.toEqual(second);
    // Going on in the middle needs nothing but the number.
    expect(new BatchOrder(samples, 8, 3).batch(order.batchesPerEpoch + 2)).toEqual(second[2]);
    expect(new BatchOrder(samples, 8, 4).batch(0)).not.toEqual(first[0]);
    const spread = (rows: readonly { tokens: readonly number[] }[]) => {
      const lengths = rows.map(({ tokens }) => tokens.length);
      return Math.max(...lengths) - Math.min(...lengths);
    };
    expect(Math.max(...first.map(spread))).toBeLessThan(6);
  });

  test('rows are filled up, and nothing is learned there', () => {
    const [short, long] = byLength([samples[0], samples[1]], 1)
      .map(([each]) => each)
      .toReversed();
    const batch = batchOf([short, long]);
    expect([batch.time, [...batch.lengths], batch.learned]).toEqual([8, [1, 8], 2]);
    expect([...batch.targets.subarray(0, 8)]).toEqual([2, ...new Array(7).fill(ignored)]);
  });
});

describe('data that cannot be used is refused', () => {
  const good = { prompt: 'a', completion: 'b' };
  test.each([
    [{ prompt: 'a' }, 'line 2: "completion" is missing'],
    [{ completion: 'a' }, 'line 2: "prompt" is missing'],
    [{ prompt: 'a', completion: 'b'.repeat(96) }, 'has 97 tokens (allowed: up to 96)'],
    [
      { messages: [{ role: 'user', content: 'a' }] },
      'line 2: is {"messages"}, the lines before are {"prompt", "completion"}',
    ],
  ])('%j', async (line, message) => {
    const data = dataFolder({ train: [good, line], valid: [good], test: [good] });
    const tokenizer = await loadTokenizer(smallModel());
    expect(() => readSplits(data, { tokenizer, contextLength: 96, template: null })).toThrow(message);
  });

  test.each([
    [{ train: [good], valid: [good] }, 'has no test.jsonl'],
    [{ train: [good], valid: [], test: [good] }, 'valid.jsonl has no items'],
    [{ train: [good], valid: [{ text: 'a' }], test: [good] }, 'allowed: one form'],
    [
      { train: [{ messages: [{ role: 'user', content: 'a' }] }], valid: [], test: [] },
      'nothing could be learned from it',
    ],
    [{ train: [{ messages: 7 }], valid: [], test: [] }, '"messages" is 7'],
    [{ train: [{ question: 'q', choices: ['a', 'b'], answer: 2 }], valid: [], test: [] }, 'line 1: "answer" is 2'],
  ])('%j', async (splits, message) => {
    const tokenizer = await loadTokenizer(smallModel());
    const read = () => readSplits(dataFolder(splits), { tokenizer, contextLength: 96, template: null });
    expect(read).toThrow(message);
  });
});

const script = fileURLToPath(new URL('../../../experiments/language-model/finetune.ts', import.meta.url));

/** Starts a run, and sends it the signal once its log has a line of this step. */
async function interrupted(out: string, step: number, signal: 'SIGKILL' | 'SIGTERM', ...options: readonly string[]) {
  const child = spawn(process.execPath, ['--import', 'tsx', script, ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let stdout = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  const log = join(out, 'log.jsonl');
  const timer = setInterval(() => {
    // A log that a killed run left is cut by then.
    if (!stdout.includes('Run folder')) return;
    if (!existsSync(log) || !readFileSync(log, 'utf8').includes(`"event":"step","step":${step},`)) return;
    child.kill(signal);
    clearInterval(timer);
  }, 2);
  const [code] = await once(child, 'close');
  clearInterval(timer);
  return { stdout, code };
}

test('adapters lower the loss; a run that was killed and ended goes on bit for bit; generate reads the adapter', async () => {
  const [model, data, folder] = [smallModel(), numbers(), temporaryFolder()];
  const asked = [
    '--model',
    model,
    '--data',
    data,
    '--device',
    'cpu',
    '--steps',
    '30',
    '--batch',
    '4',
    '--accumulate',
    '2',
  ];
  const rule = ['--policy', 'grades', '--threshold', '0.5', '--dropout', '0.1', '--rate', '0.02', '--keep-best'];
  const [whole, broken] = [join(folder, 'whole'), join(folder, 'broken')];
  const json = join(folder, 'results.json');
  const { stderr, code } = await run('finetune', ...asked, ...rule, '--out', whole, '--json', json);
  expect([stderr, code]).toEqual(['', 0]);
  const results = JSON.parse(readFileSync(json, 'utf8'));
  expect(results.after.loss).toBeLessThan(0.5 * results.before.loss);
  expect(results.freezes.length).toBeGreaterThan(0);
  expect(results.operationsSaved).toBeGreaterThan(0);
  expect(readdirSync(whole)).toEqual(
    expect.arrayContaining(['report.html', 'signals.svg', 'alive.svg', 'curves.svg', 'adapter']),
  );

  await interrupted(broken, 5, 'SIGKILL', ...asked, ...rule, '--out', broken);
  const ended = await interrupted(broken, 11, 'SIGTERM', '--resume', broken);
  expect([ended.code, ended.stdout]).toEqual([130, expect.stringContaining(`--resume ${broken}`)]);
  const resumed = await run('finetune', '--resume', broken);
  expect([resumed.stderr, resumed.code]).toEqual(['', 0]);
  const weights = (run: string) => readFileSync(join(run, 'adapter', 'adapter_model.safetensors'));
  expect(weights(broken).equals(weights(whole))).toBe(true);
  const { losses, validation } = JSON.parse(readFileSync(join(broken, 'summary.json'), 'utf8'));
  expect({ losses, validation }).toEqual({ losses: results.losses, validation: results.validation });
  const [checkpoint] = readdirSync(whole).filter((name) => name.startsWith('checkpoint-'));
  expect(readFileSync(join(whole, checkpoint), 'latin1')).not.toContain('"model/tokens.table/data"');

  const spoken = await run(
    'generate',
    '--model',
    model,
    '--adapter',
    results.written,
    '--device',
    'cpu',
    '--tokens',
    '4',
    '--prompt',
    'Question: Is 4 even?\nAnswer:',
  );
  expect([spoken.stderr, spoken.code]).toEqual(['', 0]);
}, 300_000);

test('the upper blocks, the lower ones kept, and all weights: the loss falls, and the model is whole', async () => {
  const [model, data, folder] = [smallModel(), numbers(), temporaryFolder()];
  const asked = ['--model', model, '--data', data, '--device', 'cpu', '--steps', '12', '--rate', '0.01'];
  for (const [i, method] of [
    ['--layers', '1', '--checkpoint', '--prefix-cache', '1'],
    ['--full', '--policy', 'stop', '--stop-steps', '8'],
  ].entries()) {
    const out = join(folder, String(i));
    const { stdout, stderr, code } = await run('finetune', ...asked, ...method, '--out', out);
    expect([stderr, code]).toEqual(['', 0]);
    const { before, after, steps, written, prefix, operations } = JSON.parse(
      readFileSync(join(out, 'summary.json'), 'utf8'),
    );
    expect(after.loss).toBeLessThan(0.8 * before.loss);
    expect(steps).toBe(i === 0 ? 12 : 8);
    expect(stdout.includes('forward from block 1')).toBe(i === 0);
    if (i === 0) {
      expect(prefix).toMatchObject({ block: 1, operations: operations.forwardSaved });
      // Two of three epochs begin above one of two blocks; the head is run by all.
      expect(prefix.share).toBeGreaterThan(0.1);
      expect(prefix.bytes).toBeGreaterThan(0);
      expect(prefix.seconds).toBeGreaterThan(0);
    } else expect(prefix).toBeNull();
    expect(existsSync(join(written, 'model.safetensors')) && existsSync(join(written, 'tokenizer.json'))).toBe(true);
  }
}, 300_000);

test('a gradient that is no number ends the run: told by name, nothing frozen for it, the last good weights kept', async () => {
  const out = join(temporaryFolder(), 'run');
  // A decay of 1 at a rate of 10 multiplies every matrix by -9 a step.
  const away = ['--full', '--rate', '10', '--decay', '1', '--clip', '0', '--warmup', '0', '--policy', 'grades'];
  const small = ['--device', 'cpu', '--steps', '60', '--batch', '2', '--test-items', '1', '--validation-items', '1'];
  const ended = await run('finetune', '--model', smallModel(), '--data', numbers(), ...away, ...small, '--out', out);
  expect(ended.code).toBe(1);
  expect(ended.stderr).toMatch(
    /weights as they were after step \d+ are in .*model\.\nthe gradient of \S+ became NaN or infinite in step/,
  );
  const broken = Number(/infinite in step (\d+)/.exec(ended.stderr)?.[1]);
  const log: { event: string; step: number }[] = readFileSync(join(out, 'log.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  // After a step the sums of the one before are judged: those of the broken one would be after the next.
  expect(log.filter(({ event, step }) => event === 'freeze' && step > broken)).toEqual([]);
  const { state } = readSafetensors(readFileSync(join(out, 'model', 'model.safetensors')));
  const values = Object.values(state).flatMap(({ data }) => Array.from(data));
  expect(values.every(Number.isFinite)).toBe(true);
  expect(Math.max(...values.map(Math.abs))).toBeGreaterThan(1e3);
}, 300_000);

test('where the adapter cannot be written it is said how to go on, and that goes on', async () => {
  const out = join(temporaryFolder(), 'run');
  writeFiles(out, { adapter: 'a file where the folder belongs' });
  const small = ['--device', 'cpu', '--steps', '2', '--batch', '2', '--test-items', '1', '--validation-items', '1'];
  const ended = await run('finetune', '--model', smallModel(), '--data', numbers(), ...small, '--out', out);
  expect(ended.code).toBe(1);
  expect(ended.stderr).toMatch(
    /What was kept before is whole\. Go on with: .*--resume .*\n\S+adapter cannot be made \(EEXIST/,
  );
  rmSync(join(out, 'adapter'));
  const resumed = await run('finetune', '--resume', out);
  expect([resumed.stderr, resumed.code]).toEqual(['', 0]);
  expect(existsSync(join(out, 'adapter', 'adapter_config.json'))).toBe(true);
}, 300_000);

test.each([
  [['--model', 'x', '--data', 'x', '--full', '--lora', '4'], 'got --lora and --full'],
  [['--model', 'x', '--data', 'x', '--policy', 'stop'], '--stop-steps or --stop-operations'],
  [['--resume', 'x', '--steps', '3'], '--steps and --resume contradict'],
])('%j is refused', async (options, message) => {
  const { code, stderr } = await run('finetune', ...options);
  expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
});
