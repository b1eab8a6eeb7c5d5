/** `npm run evaluate`: the perplexity of texts, or the accuracy in multiple choice. */

import { formatPercent, formatSeconds } from '../../command/format.ts';
import { Interrupted, listenForInterrupt } from '../../command/interrupt.ts';
import { OptionError, oneOf, outputFile, readOptions, text, wholeNumber } from '../../command/options.ts';
import { Progress } from '../../command/progress.ts';
import { runCommand } from '../../command/run.ts';
import { writeResults } from '../../command/run-folder.ts';
import { DatasetError } from '../data/files.ts';
import { type Accuracy, accuracyOf, picksOf } from './choice-scores.ts';
import { type ChoiceItem, forms, readItems, type TextItem } from './items.ts';
import { choiceLogLikelihoods, choiceTokens, textLogLikelihood } from './log-likelihood.ts';
import { modelOptions, openModel } from './open-model.ts';
import { templateNames } from './templates.ts';

const command = 'npm run evaluate';

await runCommand(async () => {
  const options = readOptions({
    command,
    about:
      'Scores a language model: the perplexity of texts, or the share of questions to which it picks the right answer.',
    argv: process.argv.slice(2),
    options: {
      ...modelOptions,
      data: text({ placeholder: 'FILE', help: 'one JSON object in each line: see below' }),
      template: oneOf(templateNames, { help: 'the lines have the fields of this task, and its prompts are used' }),
      limit: wholeNumber({ from: 1, to: 1e9, help: 'only the first N items' }),
      json: outputFile({ help: 'also write the scores, and those of every item, to this file' }),
    },
    notes:
      'The lines are {"text": …} for perplexity, or {"question": …, "choices": […, …], "answer": 0} for multiple choice, where ' +
      'the answer is the number of the right choice, from 0. Multiple choice goes by likelihood, as in lm-evaluation-harness: acc ' +
      'picks the likeliest choice after "Question: …\\nAnswer:", acc_norm the likeliest per character. With --template the lines are ' +
      'those of a published task, and the prompts are those of lm-evaluation-harness.',
  });
  if (!options) return;
  if (options.data === null)
    throw new OptionError('--data must be given: a file with one JSON object in each line', command);
  const read = readItems(options.data, options);
  if (read.kind !== 'text' && read.kind !== 'choice') {
    throw new DatasetError(
      `${options.data} has lines of the form ${forms[read.kind]} (allowed: ${forms.text}, ${forms.choice})`,
    );
  }
  const opened = await openModel(options, command);
  const { device } = opened;

  const started = performance.now();
  const results = read.kind === 'text' ? await scoreTexts(opened, read.items) : await scoreChoices(opened, read.items);
  const seconds = (performance.now() - started) / 1000;
  console.log(`\n${results.summary}\nTime: ${formatSeconds(seconds)}`);
  if (options.json !== null) {
    const { model, adapter, data, template } = options;
    writeResults(options.json, { model, adapter, data, template, device: device.kind, seconds, ...results.values });
  }
});

type Opened = Awaited<ReturnType<typeof openModel>>;

async function scoreTexts({ model, tokenizer }: Opened, texts: readonly TextItem[]) {
  const encoded = texts.map(({ text, line }) => {
    const tokens = tokenizer.encode(text);
    if (tokens.length > 1) return tokens;
    throw new DatasetError(
      `line ${line}: the text has ${tokens.length} tokens (allowed: from 2 on: the first has none before it)`,
    );
  });
  const items = await inTurn(encoded, (tokens) => textLogLikelihood(model, tokens));
  const sum = (key: 'logLikelihood' | 'tokens') => items.reduce((total, item) => total + item[key], 0);
  const tokens = sum('tokens');
  const perToken = -sum('logLikelihood') / tokens;
  const perplexity = Math.exp(perToken);
  return {
    summary: `Perplexity: ${perplexity.toPrecision(6)} over ${tokens} tokens (${perToken.toPrecision(6)} nats a token)`,
    values: { perplexity, negativeLogLikelihoodPerToken: perToken, tokens, items },
  };
}

async function scoreChoices({ model, tokenizer }: Opened, questions: readonly ChoiceItem[]) {
  const encoded = questions.map((item) => choiceTokens(tokenizer, model.config.contextLength, item));
  const logLikelihoods = await inTurn(encoded, (tokens) => choiceLogLikelihoods(model, tokens));
  const items = questions.map(({ prompts, choices, answer }, i) => {
    const { byLikelihood, byCharacter } = picksOf(choices, logLikelihoods[i]);
    return {
      prompts,
      choices,
      answer,
      logLikelihoods: logLikelihoods[i],
      accPicks: byLikelihood,
      accNormPicks: byCharacter,
    };
  });
  const acc = accuracyOf(items.map(({ answer, accPicks }) => accPicks === answer));
  const accNorm = accuracyOf(items.map(({ answer, accNormPicks }) => accNormPicks === answer));
  return {
    summary: `Of ${items.length} questions\nacc:      ${inWords(acc)}\nacc_norm: ${inWords(accNorm)}`,
    values: { acc, accNorm, items },
  };
}

function inWords({ value, standardError }: Accuracy): string {
  return formatPercent(value) + (standardError === null ? '' : ` ± ${formatPercent(standardError)}`);
}

/** Scores one after the other, and shows how far it is. @throws {Interrupted} after Ctrl-C. */
async function inTurn<Item, Score>(items: readonly Item[], score: (item: Item) => Promise<Score>): Promise<Score[]> {
  const interrupt = listenForInterrupt();
  const progress = new Progress({ label: 'evaluate', total: items.length });
  const scores: Score[] = [];
  try {
    for (const item of items) {
      if (interrupt.signal.aborted)
        throw new Interrupted('Nothing was scored as a whole; --limit N scores fewer items.');
      scores.push(await score(item));
      progress.update(scores.length, [{ text: `${scores.length}/${items.length}`, importance: 9 }]);
    }
    return scores;
  } finally {
    progress.end();
    interrupt.release();
  }
}
