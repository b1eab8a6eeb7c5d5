import { formatPercent } from '../fragments/format.ts';
import { counted, fixed, listed, signed } from '../report/numbers.ts';
import type { ArmName, Comparison } from './results.ts';
import {
  type Analysis,
  accuracyDifference,
  type Difference,
  margin,
  operationsRatio,
  pairRuns,
  runsOf,
  timeComparison,
  watchingOverhead,
} from './statistics.ts';

/** A question of the comparison, and what the numbers say to it. */
export interface Answer {
  question: string;
  paragraphs: readonly string[];
}

/** What a difference shows: never more than its interval does. */
export type Finding = 'higher' | 'lower' | 'the same' | 'no difference' | 'one pair' | 'nothing';

export function findingOf({ estimate }: Difference): Finding {
  if (!estimate) return 'nothing';
  if (!estimate.hasInterval) return 'one pair';
  if (estimate.low === 0 && estimate.high === 0) return 'the same';
  if (estimate.low > 0) return 'higher';
  return estimate.high < 0 ? 'lower' : 'no difference';
}

/** A sentence's second half: `no difference shown (+0.10 points, 95 % interval −0.20 to +0.41; 15 pairs on 3 tasks)`. */
export function differenceInWords(difference: Difference): string {
  const { estimate, pairs, remarks } = difference;
  if (!estimate) return `cannot be said, ${remarks.join('; ')}`;
  const { mean, low, high, tasks } = estimate;
  const over = `${counted(pairs.length, 'pair')} on ${counted(tasks, 'task')}`;
  const interval = `95\u00a0% interval ${signed(low, 2)} to ${signed(high, 2)}; ${over}`;
  switch (findingOf(difference)) {
    case 'higher':
      return `higher by ${fixed(mean, 2)} points (${interval})`;
    case 'lower':
      return `lower by ${fixed(-mean, 2)} points (${interval})`;
    case 'the same':
      return `exactly the same in every pair (${over}), so the two may have run the same steps`;
    case 'one pair':
      return `${signed(mean, 2)} points in the only pair, which shows nothing: it has no spread`;
    default:
      return `no difference shown (${signed(mean, 2)} points, ${interval})`;
  }
}

/** The three questions that a reader brings, answered over the evaluation tasks. */
export function answers(comparison: Comparison, { tasks }: Analysis): Answer[] {
  const between = (arm: ArmName, base: ArmName) => accuracyDifference(comparison, arm, base, tasks);
  const says = (words: string, difference: Difference) => `${words}: ${differenceInWords(difference)}.`;
  const cost = (arm: ArmName, base: ArmName, name: string) => costSentence(comparison, arm, base, name, tasks);

  const plain = between('full+grades', 'plain-stop');
  const random = between('full+grades', 'random-matrices');
  const reversed = between('full+grades', 'reversed');
  const full = between('full+grades', 'full');
  return [
    {
      question: 'Does freezing matrix by matrix beat a plain stop at equal operations?',
      paragraphs: paragraphs(
        [acted(comparison, tasks)],
        [
          says('Accuracy of GradES against a plain stop', plain),
          equalOperations(comparison, 'full+grades', 'plain-stop', tasks),
          verdict(plain, {
            higher: 'Freezing matrix by matrix did better than simply stopping.',
            lower: 'Freezing matrix by matrix did worse than simply stopping.',
            none: 'That freezing matrix by matrix beats a plain stop is not shown.',
          }),
        ],
        [says('Against a shorter schedule of the same operations', between('full+grades', 'short-cosine'))],
        [says('Against freezing everything at once', between('full+grades', 'all-at-once'))],
      ),
    },
    {
      question: 'Does it matter which matrix is frozen?',
      paragraphs: paragraphs(
        [says('Accuracy of its own order against random matrices at the same times', random)],
        [says('Against the reversed order', reversed)],
        [orderVerdict([random, reversed])],
      ),
    },
    {
      question: 'What does someone without a validation set gain?',
      paragraphs: paragraphs(
        [
          says('Accuracy of GradES against full training', full),
          notWorse(full),
          cost('full+grades', 'full', 'full training'),
        ],
        [
          says('Against early stopping with a small validation set', between('full+grades', 'full+stopping')),
          cost('full+grades', 'full+stopping', 'early stopping with its validation'),
        ],
        [
          says('Against early stopping with a costly validation set', between('full+grades', 'full+stopping-costly')),
          cost('full+grades', 'full+stopping-costly', 'early stopping with its validation'),
        ],
        [
          says('With adapters, accuracy of GradES against plain LoRA', between('lora+grades', 'lora')),
          cost('lora+grades', 'lora', 'plain LoRA'),
        ],
      ),
    },
  ];
}

/** Sentences that belong together make one paragraph; a sentence without content is left out. */
function paragraphs(...groups: string[][]): string[] {
  return groups
    .map((sentences) => sentences.filter((sentence) => sentence !== '').join(' '))
    .filter((paragraph) => paragraph !== '');
}

/** The paper's claims, and what was measured here. */
export function claims(comparison: Comparison, { tasks }: Analysis): [claim: string, paper: string, here: string][] {
  const time = (arm: ArmName, base: ArmName) => {
    const timed = timeComparison(comparison, arm, base, tasks);
    return timed
      ? `${fixed(1 / timed.total.ofSums, 2)}× (${counted(timed.total.tasks, 'task')}, one run each)`
      : 'not timed';
  };
  const points = (arm: ArmName, base: ArmName) => {
    const difference = accuracyDifference(comparison, arm, base, tasks);
    if (!difference.estimate) return 'not run';
    const { mean, low, high, hasInterval } = difference.estimate;
    return hasInterval ? `${signed(mean, 2)} [${signed(low, 2)}, ${signed(high, 2)}]` : `${signed(mean, 2)} (one pair)`;
  };
  const operations = (arm: ArmName, base: ArmName) => {
    const ratio = operationsRatio(pairRuns(comparison, arm, base, tasks));
    return ratio ? fixed(ratio.ofSums, 2) : 'not run';
  };
  const overhead = watchingOverhead(comparison, 'full+grades', 'full', tasks);
  return [
    ['GradES, all weights: speed-up over full training', '1.32–1.64×', time('full+grades', 'full')],
    ['GradES, all weights: accuracy, points', '−0.42 to +0.27, one run each', points('full+grades', 'full')],
    ['GradES, all weights: operations', '0.55–0.71', operations('full+grades', 'full')],
    ['GradES, LoRA: speed-up over LoRA', '0.98–1.15×', time('lora+grades', 'lora')],
    ['GradES, LoRA: accuracy, points', '0.00 to +1.16, one run each', points('lora+grades', 'lora')],
    ['GradES, LoRA: operations', '0.87–0.94', operations('lora+grades', 'lora')],
    [
      'What watching costs before anything is frozen',
      '3 % stated; 7–20 % follow from its times',
      overhead === null ? 'not timed' : formatPercent(overhead),
    ],
  ];
}

function acted(comparison: Comparison, tasks: readonly string[]): string {
  const runs = runsOf(comparison, 'full+grades', tasks);
  if (runs.length === 0) return '';
  const froze = runs.filter(({ freezes }) => freezes.length > 0).length;
  const ended = runs.filter(({ steps, scheduleSteps }) => steps < scheduleSteps).length;
  return `GradES froze something in ${froze} of ${counted(runs.length, 'run')} and ended ${ended} before the schedule did.`;
}

function equalOperations(comparison: Comparison, arm: ArmName, base: ArmName, tasks: readonly string[]): string {
  const ratio = operationsRatio(pairRuns(comparison, arm, base, tasks));
  if (!ratio) return '';
  const used = `GradES used ${fixed(ratio.ofSums, 2)} times the operations of the plain stop`;
  return ratio.ofSums < 0.95 || ratio.ofSums > 1.05
    ? `${used}: these are not equal operations, and the comparison is not the one that was meant.`
    : `${used}.`;
}

function costSentence(
  comparison: Comparison,
  arm: ArmName,
  base: ArmName,
  name: string,
  tasks: readonly string[],
): string {
  const ratio = operationsRatio(pairRuns(comparison, arm, base, tasks));
  if (!ratio) return '';
  const timed = timeComparison(comparison, arm, base, tasks);
  const time = timed
    ? `${fixed(timed.total.ofSums, 2)} times the wall time on ${counted(timed.total.tasks, 'task')}`
    : 'the wall times of both were not measured';
  return `GradES used ${fixed(ratio.ofSums, 2)} times the operations of ${name}; ${time}.`;
}

function notWorse({ estimate }: Difference): string {
  if (!estimate?.hasInterval) return '';
  return (
    `Not worse by more than half a point: ${estimate.verdict} ` +
    `(the one-sided 95\u00a0% lower bound is ${signed(estimate.lowerBound, 2)}, the limit −${margin}).`
  );
}

function verdict(difference: Difference, words: { higher: string; lower: string; none: string }): string {
  const finding = findingOf(difference);
  if (finding === 'nothing') return 'The question stays open: there is nothing to compare with.';
  if (finding === 'higher' || finding === 'lower') return words[finding];
  const { estimate } = difference;
  const within =
    finding === 'no difference' && estimate
      ? ` That is not proof of equality: the interval admits differences up to ${fixed(Math.max(-estimate.low, estimate.high), 2)} points.`
      : '';
  return words.none + within;
}

function orderVerdict(differences: readonly Difference[]): string {
  const findings = differences.map((difference) => ({ control: difference.base, finding: findingOf(difference) }));
  const named = (wanted: Finding) =>
    findings.filter(({ finding }) => finding === wanted).map(({ control }) => `“${control}”`);
  if (findings.every(({ finding }) => finding === 'nothing')) {
    return 'The question stays open: there is nothing to compare with.';
  }
  const better = named('higher');
  const worse = named('lower');
  const parts = [
    ...(better.length > 0 ? [`Its own choice did better than ${listed(better)}.`] : []),
    ...(worse.length > 0 ? [`Its own choice did worse than ${listed(worse)}.`] : []),
  ];
  return parts.length > 0 ? parts.join(' ') : 'That the choice of matrix matters is not shown.';
}
