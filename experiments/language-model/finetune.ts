/** `npm run finetune`: a language model goes on learning from a folder of examples. */

import { basename, join } from 'node:path';
import { formatBytes, formatCount, formatPercent, formatSeconds } from '../../command/format.ts';
import { Interrupted, listenForInterrupt } from '../../command/interrupt.ts';
import {
  device as deviceOption,
  flag,
  listOf,
  number,
  OptionError,
  oneOf,
  option,
  outputFile,
  readOptions,
  text,
  wholeNumber,
} from '../../command/options.ts';
import { Progress } from '../../command/progress.ts';
import { readLineOfRun } from '../../command/resume.ts';
import { runCommand } from '../../command/run.ts';
import { newRunPath, RunFolder } from '../../command/run-folder.ts';
import {
  AdamW,
  Checkpoints,
  checkFits,
  type Decoder,
  loadPretrained,
  loadTokenizer,
  NonFiniteGradientError,
  openDevice,
  saveAdapter,
  savePretrained,
  trainingMemory,
} from '../../src/index.ts';
import { type MakePolicy, readPolicyFile } from '../policy-file.ts';
import { writeReport } from '../report/sections.ts';
import { FineTuning, type Method, type PrefixSavings, prepare, type Scores, type Settings } from './fine-tuning.ts';
import { type FineTuningResults, fineTuningDocument } from './fine-tuning-report.ts';
import { fingerprintOfData, fingerprintOfModel } from './fingerprint.ts';
import { readSplits, type Splits, splitFiles } from './samples.ts';
import { templateNames } from './templates.ts';

const command = 'npm run finetune';
const policies = ['none', 'grades', 'early-stopping', 'stop'];

const declared = {
  command,
  about:
    'Fine-tunes a language model on train.jsonl, with valid.jsonl on the way and test.jsonl before and after. Writes an adapter, or a ' +
    'whole model, that generate, evaluate, PEFT and transformers read.',
  options: {
    model: text({ placeholder: 'DIR', help: 'a Hugging Face folder: config.json, weights, tokenizer.json' }),
    data: text({ placeholder: 'DIR', help: 'folder with train.jsonl, valid.jsonl and test.jsonl: see below' }),
    template: oneOf(templateNames, { help: 'the lines have the fields of this task, and its prompts are used' }),
    context: wholeNumber({
      ...{ from: 2, to: 1e6, default: 512 },
      help: 'tokens of a sample at most; texts are cut into such pieces, other forms refused',
    }),
    lora: wholeNumber({ from: 1, to: 1024, help: 'adapters of this rank on a frozen base', defaultText: '8' }),
    full: flag({ help: 'instead of adapters, train all weights' }),
    layers: wholeNumber({ from: 1, to: 1e4, help: 'instead of adapters, train the upper N blocks' }),
    alpha: number({ from: 1e-6, to: 1e6, help: 'of the adapters', defaultText: 'twice the rank' }),
    rslora: flag({ help: 'scale adapters by alpha / √rank' }),
    dropout: number({ from: 0, to: 0.99, default: 0, help: 'of the input of the adapters' }),
    targets: listOf(text({ placeholder: 'NAME' }), {
      help: 'matrices that get adapters, as PEFT names them: q_proj,v_proj',
      defaultText: 'all in the blocks',
    }),
    epochs: number({ from: 1e-6, to: 1e6, default: 1, help: 'times through train.jsonl' }),
    steps: wholeNumber({ from: 1, to: 1e9, help: 'length of the schedule instead' }),
    batch: wholeNumber({ from: 1, to: 1e5, default: 8, help: 'samples that go through the model at once' }),
    accumulate: wholeNumber({ from: 1, to: 1e5, default: 1, help: 'such batches in a step' }),
    rate: number({ from: 1e-12, to: 10, help: 'highest learning rate', defaultText: '5e-4 for adapters, else 2e-5' }),
    warmup: number({
      from: 0,
      to: 1,
      default: 0.05,
      help: 'share of the steps in which the rate rises; then half a cosine',
    }),
    decay: number({ from: 0, to: 10, default: 0.01, help: 'weight decay' }),
    clip: number({ from: 0, to: 1e9, default: 1, help: 'largest norm of the gradients; 0 clips nothing' }),
    policy: option(
      { placeholder: 'NAME|FILE.ts', allowed: 'a text', parse: (given) => given },
      {
        default: 'none',
        help: `what freezes or stops: ${policies.join(', ')}, or a file whose default export is (context) => Policy`,
      },
    ),
    threshold: number({ from: 1e-9, to: 1, help: 'of grades', defaultText: '0.3' }),
    grace: number({
      from: 0,
      to: 1,
      help: 'of grades: share of the steps before which nothing freezes',
      defaultText: '0.15',
    }),
    patience: number({
      ...{ from: 0, to: 1, defaultText: '0.02' },
      help: 'of grades: share of the steps that a matrix stays below, and between two freezes; so at most 42 of them freeze at 0.02',
    }),
    'stop-steps': wholeNumber({ from: 1, to: 1e9, help: 'of stop: ends after so many steps' }),
    'stop-operations': number({ from: 1, to: 1e30, help: 'of stop: ends after so many floating-point operations' }),
    checkpoint: flag({
      help: 'keep only the input of each block for the backward pass: less memory, one forward pass more',
    }),
    'prefix-cache': wholeNumber({
      ...{ from: 0, to: 1e7, default: 0, placeholder: 'MIB' },
      help: 'keep what leaves the frozen blocks at the bottom, so that later epochs begin there; freezes go from below then',
    }),
    'validate-every': wholeNumber({
      from: 1,
      to: 1e9,
      help: 'steps between two validations',
      defaultText: 'a tenth of them',
    }),
    'validation-items': wholeNumber({ from: 1, to: 1e9, default: 200, help: 'so many of valid.jsonl' }),
    'test-items': wholeNumber({ from: 1, to: 1e9, help: 'so many of test.jsonl', defaultText: 'all' }),
    'keep-best': flag({ help: 'end with the weights of the best validation' }),
    dtype: oneOf(['stored', 'bf16', 'f32'], { default: 'stored', help: 'of the matrices that do not train' }),
    device: deviceOption(),
    seed: wholeNumber({ from: 0, to: 2 ** 32 - 1, default: 1, help: 'of adapters, order and dropout' }),
    out: text({
      placeholder: 'DIR',
      help: 'folder for everything that is written',
      defaultText: 'runs/finetune-<time>',
    }),
    json: outputFile({ help: 'also write the results to this file' }),
    resume: text({ placeholder: 'DIR', help: 'go on with the run in this folder, after Ctrl-C or a crash' }),
  },
  notes:
    'The lines of the three files are all of one form: {"messages": [{"role", "content"}, …]}, of which the assistant\'s are learned; ' +
    '{"prompt", "completion"}, of which the completion is learned; {"text"}; or {"question", "choices", "answer"}, of which the right ' +
    'choice is learned, and accuracy is measured.',
} as const;

await runCommand(async () => {
  const read = (argv: readonly string[]) => readOptions({ ...declared, argv });
  const options = readLineOfRun(command, process.argv.slice(2), read);
  if (!options) return;
  const { model: folder, data, resume, json, line } = options;
  if (folder === null) throw new OptionError('--model must be given: a Hugging Face folder', command);
  if (data === null)
    throw new OptionError(`--data must be given: a folder with ${Object.values(splitFiles).join(', ')}`, command);
  const method = methodOf(options);
  checkPolicy(options);
  const makePolicy: MakePolicy<Decoder> | null = policies.includes(options.policy)
    ? null
    : await readPolicyFile<Decoder>(options.policy, command);

  // First what is quick to read: an error in it then shows at once.
  const tokenizer = await loadTokenizer(folder);
  const device = await openDevice(options.device);
  const started = performance.now();
  const pretrained = await loadPretrained(folder, { device, dtype: method.kind === 'full' ? 'f32' : options.dtype });
  const { model } = pretrained;
  const contextLength = Math.min(options.context, model.config.contextLength);
  const splits = readSplits(data, { tokenizer, contextLength, template: options.template });
  if (method.kind === 'layers' && method.count > model.blocks.length) {
    throw new OptionError(
      `--layers must be a whole number from 1 to ${model.blocks.length}, got '${method.count}'`,
      command,
    );
  }
  prepare(pretrained, method, options.seed);
  model.checkpointBlocks = options.checkpoint;
  console.log(
    `${pretrained.family.architecture}, ${formatCount(model.parameters().reduce((sum, { size }) => sum + size, 0))} weights, on ` +
      `${device.kind} (${device.adapter}), loaded in ${formatSeconds((performance.now() - started) / 1000)}`,
  );

  const settings = settingsOf(options, splits, method);
  const base = await fingerprintOfModel(folder);
  const config = {
    ...{ model: folder, data, method, settings, base },
    dataFingerprint: await fingerprintOfData(data),
    ...{ device: { kind: device.kind, adapter: device.adapter }, arguments: line },
  };
  await sayMemory(model, splits, settings);
  const path = resume ?? options.out ?? newRunPath('finetune');
  const run = RunFolder[resume === null ? 'create' : 'join'](path, config);
  run.claim();
  const interrupt = listenForInterrupt();
  const { signal } = interrupt;
  const goOn = `Go on with: ${command} -- --resume ${path}`;

  let logBytes = 0;
  const tuning = new FineTuning(pretrained, splits, settings, {
    ...{ base, folder: path, makePolicy },
    logBytes: {
      get: () => run.logBytes,
      set: (bytes) => {
        logBytes = bytes;
      },
    },
  });
  const { training, registry } = tuning;
  const checkpoints = new Checkpoints(path);
  const save = async () => checkpoints.write(training.step, await training.save());
  const newest = await checkpoints.newest();
  if (newest !== null) {
    await training.restore(newest);
  }
  run.cutLog(logBytes);
  console.log(
    `${formatCount(tuning.trainedCount)} weights train. ${splits.train.samples.length} samples, ${tuning.batchesPerEpoch} batches an epoch; ` +
      `${settings.steps} steps of ${settings.accumulation} × ${settings.batch} samples.`,
  );
  console.log(`Run folder: ${path}. Ctrl-C ends the run after the current step; --resume goes on from there.\n`);

  const scored = async (label: string): Promise<Scores> => {
    const progress = new Progress({
      label,
      total: Math.max(1, Math.min(splits.test.questions.length, settings.testItems ?? Number.POSITIVE_INFINITY)),
    });
    try {
      const scores = await tuning.scoreTest(signal, (done, total) =>
        progress.update(done, [{ text: `${done}/${total} questions`, importance: 9 }]),
      );
      return scores;
    } catch (error) {
      throw error instanceof Interrupted ? new Interrupted(`${error.message} ${goOn}`) : error;
    } finally {
      progress.end();
    }
  };
  const written = await run.sayingHow(goOn, async () => {
    tuning.recorded.before ??= await scored('before');
    const { before } = tuning.recorded;
    console.log(`Before: ${scoresInWords(before)}`);
    if (newest === null) {
      run.log({ event: 'before', ...before });
      await tuning.validate();
      await save();
    }

    try {
      await train();
      await save();
    } catch (error) {
      // Nothing was changed since the last good step.
      if (error instanceof NonFiniteGradientError)
        console.error(`\nThe weights as they were after step ${error.step - 1} are in ${await writeModel()}.`);
      throw error;
    }
    if (!training.finished) throw new Interrupted(goOn);
    await training.end();
    await tuning.validate();
    if (settings.keepBest && tuning.recorded.best?.step !== training.step) await tuning.returnToBest();
    const after = await scored('after');
    const written = await writeModel();
    const { recorded } = tuning;
    const { seconds, tokens, peakBytes, losses, validation, speeds, memory, best } = recorded;
    const results: FineTuningResults = {
      ...{
        model: basename(folder),
        arm: armOf(method, settings),
        device: { kind: device.kind, adapter: device.adapter },
      },
      ...{ config, before, after, best, losses, validation, speeds, memory, peakBytes, tokens, seconds },
      ...{ operations: training.operations, operationsSaved: tuning.operationsSaved(), trained: tuning.trainedCount },
      prefix: tuning.prefixSavings,
      ...{
        matrices: tuning.matrices.map(({ name, kind, block }) => ({ name, kind, block })),
        ...tuning.watched(),
        written,
      },
    };
    run.log({ event: 'after', ...after });
    writeReport(run, fineTuningDocument(results), { file: 'summary.json', results, json });
    return written;
  });
  interrupt.release();
  console.log(
    method.kind === 'lora'
      ? `Try it: npm run generate -- --model ${folder} --adapter ${written} --prompt …`
      : `Try it: npm run generate -- --model ${written} --prompt …`,
  );

  async function train(): Promise<void> {
    const { steps, validateEvery } = settings;
    const saveEvery = Math.max(1, Math.min(200, Math.ceil(steps / 10)));
    const progress = new Progress({ label: 'finetune', total: steps, doneBefore: training.step });
    registry.onEvent(({ type, name: parameter, step, value, threshold, reason }) => {
      run.log({ event: type, parameter, step, value, threshold, reason });
      if (value !== null)
        progress.line(
          `  step ${step}: ${type === 'thaw' ? 'thawed' : 'froze'} ${parameter} (${value.toFixed(3)} below ${threshold})`,
        );
    });
    try {
      while (!training.finished && !signal.aborted) {
        const { tokens, seconds } = await tuning.advance();
        const { step } = training;
        const point = tuning.recorded.losses.at(-1);
        const frozen = tuning.frozenCount;
        const saved = tuning.prefixSavings;
        if (point?.step === step) {
          run.log({ event: 'step', step, loss: point.value, seconds, tokens, frozen, ...device.memory() });
        }
        progress.update(step, [
          { text: `${step}/${steps}`, importance: 6 },
          { text: `loss ${point?.value.toFixed(4) ?? '–'}`, importance: 5 },
          { text: `${(tokens / seconds).toFixed(0)} tokens/s`, importance: 3 },
          { text: `${frozen}/${tuning.matrices.length} frozen`, importance: 4 },
          ...(saved ? [{ text: prefixInWords(saved), importance: 2 }] : []),
        ]);
        if (step % validateEvery === 0) {
          const loss = await tuning.validate();
          run.log({ event: 'validation', step, loss });
          progress.line(`  step ${step}: validation loss ${loss.toFixed(4)}`);
        }
        if (step % saveEvery === 0 && !training.finished) await save();
      }
    } finally {
      progress.end();
    }
  }

  async function writeModel(): Promise<string> {
    const name = join(path, method.kind === 'lora' ? 'adapter' : 'model');
    if (method.kind === 'lora') await saveAdapter(pretrained, name);
    else await savePretrained(pretrained, name);
    return name;
  }
});

type Options = NonNullable<ReturnType<typeof readOptions<typeof declared>>>;

function methodOf({ lora, full, layers, alpha, rslora, dropout, targets }: Options): Method {
  const named = [lora !== null && '--lora', full && '--full', layers !== null && '--layers'].filter(
    (each) => each !== false,
  );
  if (named.length > 1)
    throw new OptionError(`one of --lora, --full and --layers may be given, got ${named.join(' and ')}`, command);
  const ofAdapters = {
    '--alpha': alpha !== null,
    '--rslora': rslora,
    '--dropout': dropout > 0,
    '--targets': targets !== null,
  };
  const stray = Object.entries(ofAdapters).find(([, isGiven]) => isGiven)?.[0];
  if (stray && (full || layers !== null))
    throw new OptionError(`${stray} is for adapters, and ${named[0]} trains none`, command);
  if (full) return { kind: 'full' };
  if (layers !== null) return { kind: 'layers', count: layers };
  const rank = lora ?? 8;
  return { kind: 'lora', rank, alpha: alpha ?? 2 * rank, rankStabilized: rslora, dropout, targets };
}

function checkPolicy(options: Options): void {
  const {
    policy,
    threshold,
    grace,
    patience,
    batch,
    dropout,
    'stop-steps': stopSteps,
    'stop-operations': stopOperations,
  } = options;
  const ofRule = { threshold, grace, patience };
  const stray = Object.entries(ofRule).find(([, value]) => value !== null)?.[0];
  if (stray && policy !== 'grades') throw new OptionError(`--${stray} needs --policy grades`, command);
  const stops = stopSteps !== null || stopOperations !== null;
  if (stops !== (policy === 'stop')) {
    throw new OptionError('--policy stop needs --stop-steps or --stop-operations, and they need it', command);
  }
  if (policy === 'grades' && batch < 2) {
    throw new OptionError('--policy grades compares the halves of a batch: --batch must be 2 or more', command);
  }
  if (options['prefix-cache'] > 0 && dropout > 0) {
    throw new OptionError(
      '--prefix-cache and --dropout contradict each other: dropped inputs are never the same',
      command,
    );
  }
}

function settingsOf(options: Options, splits: Splits, { kind }: Method): Settings {
  const { seed, batch, accumulate, epochs } = options;
  const perEpoch = Math.ceil(splits.train.samples.length / (batch * accumulate));
  const steps = options.steps ?? Math.max(1, Math.round(epochs * perEpoch));
  return {
    ...{ seed, steps, batch, accumulation: accumulate },
    learningRate: options.rate ?? (kind === 'lora' ? 5e-4 : 2e-5),
    warmup: Math.floor(options.warmup * steps),
    ...{ weightDecay: options.decay, maxGradientNorm: options.clip, policy: options.policy },
    ...{ threshold: options.threshold, grace: options.grace, patience: options.patience },
    ...{ stopSteps: options['stop-steps'], stopOperations: options['stop-operations'] },
    prefixBytes: options['prefix-cache'] * 2 ** 20,
    validateEvery: options['validate-every'] ?? Math.max(1, Math.ceil(steps / 10)),
    validationItems: options['validation-items'],
    testItems: options['test-items'],
    keepBest: options['keep-best'],
  };
}

function armOf({ kind }: Method, { policy }: Settings): string {
  const name = policies.includes(policy) ? policy : basename(policy);
  return policy === 'none' ? kind : `${kind}+${name.replace('early-', '')}`;
}

/** What the largest step will take. @throws OutOfMemoryError where that is more than there is. */
async function sayMemory(model: Decoder, { train }: Splits, settings: Settings): Promise<void> {
  const { device } = model.tokens.table;
  const time = train.samples.reduce((longest, { tokens }) => Math.max(longest, tokens.length), 1);
  const { batch, accumulation, learningRate, policy } = settings;
  const need = await trainingMemory(model, {
    ...{ batch: Math.min(batch, train.samples.length), time, microBatches: accumulation },
    optimizer: (parameters) => new AdamW(parameters, { learningRate }),
  });
  // A rule that compares the halves of a batch has each gradient twice.
  const more = policy === 'grades' ? need.gradients : 0;
  const whole = { ...need, gradients: need.gradients + more, peak: need.peak + more, reserved: need.reserved + more };
  checkFits(whole, device);
  const parts = {
    weights: need.weights,
    gradients: whole.gradients,
    'state of the optimizer': need.optimizerState,
    activations: need.activations,
  };
  const named = Object.entries(parts).map(([name, bytes]) => `${name} ${formatBytes(bytes)}`);
  const share = whole.peak / device.memoryBudget;
  console.log(
    `Memory: a step needs ${formatBytes(whole.peak)} of ${formatBytes(device.memoryBudget)} (${formatPercent(share)}): ${named.join(', ')}`,
  );
}

function prefixInWords({ block, share, bytes }: PrefixSavings): string {
  return `forward from block ${block}, ${formatPercent(share, 0)} of it saved, ${formatBytes(bytes)} kept`;
}

function scoresInWords({ loss, acc, accNorm }: Scores): string {
  const accuracy = acc && accNorm ? `, acc ${formatPercent(acc.value)}, acc_norm ${formatPercent(accNorm.value)}` : '';
  return `loss ${loss.toFixed(4)} on test (perplexity ${Math.exp(loss).toPrecision(4)})${accuracy}`;
}
