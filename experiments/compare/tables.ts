import { formatPercent, formatSeconds } from '../fragments/format.ts';
import type { Table } from '../fragments/table.ts';
import { gradesInWords } from '../report/explanations.ts';
import { absent, counted, fixed, listed, signed } from '../report/numbers.ts';
import { type Document, documentMarkdown, documentText, type Section } from '../report/sections.ts';
import { mean, resamples, standardDeviation } from './bootstrap.ts';
import { inDrawingOrder } from './kinds.ts';
import { type ArmName, type ArmResult, armNames, type Comparison } from './results.ts';
import { answers, claims } from './sentences.ts';
import {
  type Analysis,
  accuracyDifference,
  analyse,
  type Difference,
  disturbed,
  margin,
  operationParts,
  operationsRatio,
  pairRuns,
  runsOf,
  stepsRatio,
  strayResults,
  tasksOf,
  timeComparison,
} from './statistics.ts';

/** What ends on the terminal: the answers and the tables that fit there. */
export function summaryText(comparison: Comparison): string {
  return documentText(tablesDocument(comparison));
}

/** Every table in Markdown. */
export function markdownTables(comparison: Comparison): string {
  return documentMarkdown(tablesDocument(comparison));
}

function tablesDocument(comparison: Comparison): Document {
  const { answers: summary, ...parts } = sections(comparison);
  return { ...heading(comparison), summary, parts: Object.values(parts).flat() };
}

/** Title, introduction, notes and circumstances. */
export function heading(comparison: Comparison): Omit<Document, 'summary' | 'parts'> {
  const { kind, date, machine, device, model, seeds, omissions } = comparison;
  const evaluation = tasksOf(comparison, 'evaluation');
  const tuning = tasksOf(comparison, 'tuning');
  return {
    title: kind === 'smoke' ? 'Smoke run, not evidence: GradES and its rivals' : 'GradES and its rivals',
    introduction: [gradesInWords],
    notes: [
      ...(kind === 'smoke'
        ? ['Smoke run, not evidence. It shows that the comparison runs from end to end; its numbers say nothing.']
        : []),
      ...(evaluation.length === 0 ? ['There is no evaluation task: nothing here is evidence about GradES.'] : []),
      ...omissions.map((omission) => `Left out: ${omission}`),
      ...strayResults(comparison),
    ],
    about: [
      `${date}. ${machine}. Device: ${device.kind}, ${device.adapter}. Model: ${model}.`,
      `${counted(evaluation.length, 'evaluation task')}${evaluation.length > 0 ? ` (${listed(evaluation)})` : ''}, ` +
        `${counted(tuning.length, 'tuning task')}${tuning.length > 0 ? ` (${listed(tuning)})` : ''}, ` +
        `${counted(seeds.length, 'seed')}. Thresholds were chosen on the tuning tasks, so what they give is no evidence.`,
    ],
  };
}

/** Every section in reading order. */
export function sections(comparison: Comparison) {
  const evaluation = analyse(comparison, 'evaluation');
  const tuning = analyse(comparison, 'tuning');
  return {
    answers: answerSections(comparison, evaluation),
    claims: [claimsSection(comparison, evaluation)],
    accuracy: [accuracySection(comparison, evaluation, 'Accuracy, evaluation tasks')],
    differences: [
      differencesSection('Differences in accuracy, evaluation tasks', [
        ...evaluation.againstFull,
        ...evaluation.againstLora,
      ]),
      noiseSection(evaluation),
    ],
    controls: [
      controlsSection(comparison, evaluation, 'GradES against each control and each way of stopping, evaluation tasks'),
    ],
    operations: [operationsSection(comparison, evaluation), timeSection(comparison, evaluation)],
    lengths: [lengthsSection(comparison, evaluation)],
    order: freezingOrderSections(comparison, evaluation),
    speeds: [speedsSection(comparison)],
    tuning:
      tuning.tasks.length === 0
        ? []
        : [
            folded(accuracySection(comparison, tuning, 'Accuracy, tuning tasks (no evidence)')),
            folded(
              differencesSection('Differences in accuracy, tuning tasks (no evidence)', [
                ...tuning.againstFull,
                ...tuning.againstLora,
                ...tuning.againstControls,
              ]),
            ),
          ],
    settings: [settingsSection(comparison)],
    sweep: [sweepSection(comparison)],
    tasks: [tasksSection(comparison)],
    arms: [armsSection],
  } satisfies Record<string, Section[]>;
}

function folded(section: Section): Section {
  return { ...section, long: true };
}

function answerSections(comparison: Comparison, analysis: Analysis): Section[] {
  const prefix = comparison.kind === 'smoke' ? ['Smoke run, not evidence.'] : [];
  return answers(comparison, analysis).map(({ question, paragraphs }) => ({
    heading: question,
    paragraphs: [...prefix, ...paragraphs],
  }));
}

function claimsSection(comparison: Comparison, analysis: Analysis): Section {
  return {
    heading: 'The paper’s claims, and here',
    paragraphs: [
      'The paper (arXiv 2509.01842 v3) trains models of 0.6 to 14 billion weights, here they are far smaller: the columns ' +
        'stand beside each other for scale, not as a replication.',
    ],
    table: {
      columns: [left('claim'), left('paper'), left('here')],
      rows: claims(comparison, analysis),
    },
  };
}

function accuracySection(comparison: Comparison, { tasks }: Analysis, title: string): Section {
  const rows = armNames.map((arm) => {
    const runs = tasks.map((task) => finite(runsOf(comparison, arm, [task])));
    const means = runs.map((ofTask) => (ofTask.length > 0 ? 100 * mean(ofTask) : null));
    const complete = means.filter((value) => value !== null);
    return [
      arm,
      ...runs.map((ofTask) => spreadOf(ofTask, comparison.seeds.length)),
      complete.length === tasks.length && tasks.length > 0 ? fixed(mean(complete), 2) : absent,
    ];
  });
  return {
    heading: title,
    paragraphs: [
      `Percent of test items, mean ± standard deviation over ${counted(comparison.seeds.length, 'seed')}; in brackets the ` +
        `number of seeds where it is smaller. A dash: not run, or, as the average, not on every task.`,
    ],
    table: { columns: [{ title: 'arm' }, ...tasks.map((title) => ({ title })), { title: 'average' }], rows },
  };
}

function differencesSection(title: string, differences: readonly Difference[]): Section {
  const intervals = differences.filter(({ estimate }) => estimate?.hasInterval).length;
  const mostTasks = Math.max(0, ...differences.map(({ estimate }) => estimate?.tasks ?? 0));
  return {
    heading: title,
    paragraphs: [
      `Points of accuracy, paired by task and seed: mean over tasks, 95 % interval and one-sided 95 % lower bound by a ` +
        `hierarchical bootstrap (tasks, then seeds; ${resamples.toLocaleString('en')} resamples). “Not worse”: the lower ` +
        `bound lies above −${margin} points.` +
        (intervals > 1 ? ` Of ${counted(intervals, 'interval')} one in twenty misses by chance.` : '') +
        (mostTasks > 1 && mostTasks < 10
          ? ` With ${counted(mostTasks, 'task')} such intervals are somewhat too narrow.`
          : '') +
        (mostTasks === 1 ? ' With a single task they speak of its seeds alone, not of other tasks.' : ''),
      ...remarksOf(differences),
    ],
    table: {
      columns: [
        left('arm'),
        left('against'),
        ...['pairs', 'mean', '95 % interval', 'lower bound'].map((title) => ({ title })),
        left(`not worse by more than ${margin}`),
      ],
      rows: differences.map((difference) => [
        difference.arm,
        difference.base,
        String(difference.pairs.length),
        ...estimateCells(difference),
      ]),
    },
  };
}

function noiseSection({ noise }: Analysis): Section {
  return {
    heading: 'Noise floor',
    paragraphs: noise
      ? [
          `The arm “null” is full training whose first weights differ by next to nothing. Over ${counted(noise.pairs, 'pair')} on ` +
            `${counted(noise.tasks, 'task')} its accuracy moved by ${fixed(noise.spread, 2)} points (root mean square; mean ` +
            `${signed(noise.mean, 2)}). A mean over as many pairs falls within ±${fixed(noise.band, 2)} points by that alone.`,
          ...noise.remarks.map((remark) => `Missing: ${remark}.`),
        ]
      : ['Unknown: fewer than two runs of the arm “null” can be paired with “full”.'],
  };
}

function controlsSection(comparison: Comparison, { againstControls }: Analysis, title: string): Section {
  return {
    heading: title,
    paragraphs: [
      'GradES minus the other arm, points of accuracy; operations of GradES over those of the other.',
      ...remarksOf(againstControls),
    ],
    table: {
      columns: [
        left('arm'),
        left('against'),
        ...['pairs', 'mean', '95 % interval', 'lower bound'].map((title) => ({ title })),
        left(`not worse by more than ${margin}`),
        { title: 'operations' },
        { title: 'time' },
      ],
      rows: againstControls.map((difference) => {
        const ratio = operationsRatio(difference);
        const tasks = tasksOf(comparison, 'evaluation');
        const time = timeComparison(comparison, difference.arm, difference.base, tasks);
        return [
          difference.arm,
          difference.base,
          String(difference.pairs.length),
          ...estimateCells(difference),
          ratio ? fixed(ratio.ofSums, 2) : absent,
          time ? fixed(time.total.ofSums, 2) : absent,
        ];
      }),
    },
  };
}

function operationsSection(comparison: Comparison, { tasks }: Analysis): Section {
  return {
    heading: 'Operations, evaluation tasks',
    paragraphs: [
      'Over those of “full” on the same tasks and seeds: ratio of sums, geometric mean of the tasks’ ratios, and the parts ' +
        'of the ratio of sums. Steps run over those of “full”. A dash: not run.',
    ],
    table: {
      columns: ['arm', 'operations', 'geometric', 'forward', 'backward', 'optimizer', 'validation', 'steps'].map(
        (title) => ({ title }),
      ),
      rows: armNames.map((arm) => {
        const pairs = pairRuns(comparison, arm, 'full', tasks);
        const ratio = operationsRatio(pairs);
        const parts = operationParts(pairs);
        const steps = stepsRatio(pairs);
        return [
          arm,
          ratio ? fixed(ratio.ofSums, 3) : absent,
          ratio ? fixed(ratio.geometricMean, 3) : absent,
          ...(['forward', 'backward', 'optimizer', 'validation'] as const).map((part) =>
            parts ? fixed(parts[part], 3) : absent,
          ),
          steps === null ? absent : fixed(steps, 2),
        ];
      }),
    },
  };
}

function timeSection(comparison: Comparison, { tasks }: Analysis): Section {
  const timed = armNames.flatMap((arm) => {
    const time = timeComparison(comparison, arm, 'full', tasks);
    return time ? [{ arm, time }] : [];
  });
  const loud = timed.filter(({ time }) => time.disturbance > disturbed);
  const untimed = armNames.filter((arm) => !timed.some((each) => each.arm === arm));
  const title = 'Wall time, evaluation tasks';
  if (timed.length === 0) return { heading: title, paragraphs: ['Not timed.'] };
  return {
    heading: title,
    paragraphs: [
      'Each arm alone on an idle machine, mean over the timed tasks; the speed-up over “full” as ratio of sums and as ' +
        'geometric mean of the tasks’ ratios.',
      ...(untimed.length > 0 ? [`Not timed: ${untimed.join(', ')}.`] : []),
      ...(loud.length > 0
        ? [
            'Disturbed, with the largest share of time that something else took: ' +
              `${loud.map(({ arm, time }) => `${arm} ${formatPercent(time.disturbance, 0)}`).join(', ')}.`,
          ]
        : []),
    ],
    table: {
      columns: ['arm', 'training', 'validating', 'speed-up', 'geometric', 'tasks'].map((name) => ({ title: name })),
      rows: timed.map(({ arm, time: { seconds, total, tasks: both } }) => [
        arm,
        formatSeconds(seconds.train),
        formatSeconds(seconds.validate),
        `${fixed(1 / total.ofSums, 2)}×`,
        `${fixed(1 / total.geometricMean, 2)}×`,
        String(both.length),
      ]),
    },
  };
}

function lengthsSection(comparison: Comparison, { tasks }: Analysis): Section {
  const lengths = [...new Set(comparison.arms.map(({ length }) => length))].sort((a, b) => a - b);
  const rows = (
    [
      ['full', 'full+grades'],
      ['lora', 'lora+grades'],
    ] as const
  ).flatMap(([base, arm]) =>
    lengths
      .filter((length) => runsOf(comparison, arm, tasks, length).length > 0)
      .map((length) => {
        const difference = accuracyDifference(comparison, arm, base, tasks, length);
        const { pairs } = difference;
        const ratio = operationsRatio(difference);
        const points = (side: 'arm' | 'base') =>
          pairs.length > 0 ? fixed(100 * meanOverTasks(pairs.map((pair) => pair[side])), 2) : absent;
        const [, interval = absent] = estimateCells(difference);
        return [
          `${length}×`,
          arm,
          String(pairs.length),
          points('base'),
          points('arm'),
          estimateCells(difference)[0] ?? absent,
          interval,
          ratio ? fixed(ratio.ofSums, 2) : absent,
        ];
      }),
  );
  const missing = [0.5, 1, 2].filter((length) => !lengths.includes(length));
  return {
    heading: 'Schedule lengths, evaluation tasks',
    paragraphs: [
      'What stopping saves depends on how over-long the schedule is: the same at half and twice the length that the sweep chose.',
      ...(missing.length > 0 ? [`Not run: ${listed(missing.map((length) => `${length}×`))}.`] : []),
    ],
    table: {
      columns: [
        { title: 'length' },
        left('arm'),
        ...['pairs', 'base accuracy', 'arm accuracy', 'difference', '95 % interval', 'operations'].map((title) => ({
          title,
        })),
      ],
      rows,
    },
  };
}

function freezingOrderSections(comparison: Comparison, { tasks }: Analysis): Section[] {
  return (['full+grades', 'lora+grades'] as const).map((arm) => {
    const runs = runsOf(comparison, arm, tasks);
    const title = `When ${arm} freezes what, evaluation tasks`;
    const table = freezingOrderTable(runs);
    return table.rows.length === 0
      ? { heading: title, paragraphs: [runs.length === 0 ? `${arm} was not run.` : `${arm} froze nothing.`] }
      : {
          heading: title,
          paragraphs: [
            `Mean step of the freeze as a share of the schedule, and in brackets the share of ${counted(runs.length, 'run')} in ` +
              'which it froze; the mean is over those runs alone. Matrices still learning at the end count as not frozen.',
          ],
          table,
        };
  });
}

/** A row a kind, a column a block. */
export function freezingOrderTable(runs: readonly ArmResult[]): Table {
  const places = runs.flatMap(({ freezes, signals }) => [...freezes, ...signals]);
  const kinds = inDrawingOrder(places.map(({ kind }) => kind));
  const blocks = [...new Set(places.map(({ block }) => block))].sort(
    (a, b) => (a ?? Number.MAX_SAFE_INTEGER) - (b ?? Number.MAX_SAFE_INTEGER),
  );
  const cell = (kind: string, chosen: readonly (number | null)[]) => {
    const here = (place: { kind: string; block: number | null }) => place.kind === kind && chosen.includes(place.block);
    const names = new Set(places.filter(here).map(({ name }) => name));
    if (names.size === 0) return absent;
    const steps = runs.flatMap(({ freezes, scheduleSteps }) =>
      freezes.filter(here).map(({ step }) => step / scheduleSteps),
    );
    const share = steps.length / (names.size * runs.length);
    return `${steps.length > 0 ? fixed(mean(steps), 2) : 'never'} (${formatPercent(share, 0)})`;
  };
  return {
    columns: [
      { title: 'kind' },
      ...blocks.map((block) => ({ title: block === null ? 'no block' : `block ${block}` })),
      { title: 'all' },
    ],
    rows: kinds.map((kind) => [kind, ...blocks.map((block) => cell(kind, [block])), cell(kind, blocks)]),
  };
}

function speedsSection({ timings }: Comparison): Section {
  const rows = timings.flatMap(({ task, arm, speeds, scheduleSteps }) =>
    speeds.map(({ fromStep, toStep, frozen, tokensPerSecond }) => [
      task,
      arm,
      String(fromStep),
      String(toStep),
      fixed(toStep / scheduleSteps, 2),
      String(frozen),
      fixed(tokensPerSecond, 0),
      speeds[0] && speeds[0].tokensPerSecond > 0 ? fixed(tokensPerSecond / speeds[0].tokensPerSecond, 2) : absent,
    ]),
  );
  return {
    heading: 'Tokens a second before and after each freeze',
    paragraphs: [rows.length === 0 ? 'Not timed.' : 'The last column is relative to the start of the same run.'],
    long: true,
    ...(rows.length > 0 && {
      table: {
        columns: [
          { title: 'task' },
          left('arm'),
          ...['from step', 'to step', 'of schedule', 'frozen', 'tokens/s', 'relative'].map((title) => ({ title })),
        ],
        rows,
      },
    }),
  };
}

function settingsSection({ settings }: Comparison): Section {
  if (settings.length === 0) return { heading: 'Settings tried', paragraphs: ['None: nothing was tuned.'] };
  const names = [...new Set(settings.map(({ setting }) => setting))];
  const tasks = [...new Set(settings.map(({ task }) => task))];
  const points = (setting: string, chosen: readonly string[]) => {
    const values = settings.filter((each) => each.setting === setting && chosen.includes(each.task));
    if (values.length === 0) return absent;
    const difference = 100 * mean(values.map(({ accuracyDifference: share }) => share));
    return `${signed(difference, 2)} at ${fixed(mean(values.map(({ operationsRatio: ratio }) => ratio)), 2)}`;
  };
  return {
    heading: 'Settings tried',
    paragraphs: [
      'All of them, on the tuning tasks: points of accuracy on validation against full training, at this ratio of operations.',
    ],
    table: {
      columns: [{ title: 'setting' }, ...[...tasks, 'all', 'runs'].map((title) => ({ title })), left('chosen')],
      rows: names.map((setting) => {
        const ofSetting = settings.filter((each) => each.setting === setting);
        return [
          setting,
          ...tasks.map((task) => points(setting, [task])),
          points(setting, tasks),
          String(ofSetting.length),
          ofSetting.some(({ chosen }) => chosen) ? 'chosen' : '',
        ];
      }),
    },
  };
}

function sweepSection({ sweep, tasks }: Comparison): Section {
  if (sweep.length === 0) {
    return { heading: 'Sweep of schedule and learning rate', paragraphs: ['Nothing was swept.'] };
  }
  const cellKey = ({ task, adapters, learningRate, steps }: (typeof sweep)[number]) =>
    JSON.stringify([task, adapters, learningRate, steps]);
  const cells = new Map<string, (typeof sweep)[number][]>();
  for (const result of sweep) cells.set(cellKey(result), [...(cells.get(cellKey(result)) ?? []), result]);
  return {
    heading: 'Sweep of schedule and learning rate',
    paragraphs: [
      'Accuracy on validation of full training and LoRA, mean over seeds; it fixed the schedule of every arm.',
    ],
    long: true,
    table: {
      columns: [
        { title: 'task' },
        left('trained'),
        ...['learning rate', 'steps', 'accuracy', 'seeds'].map((title) => ({ title })),
        left('chosen'),
      ],
      rows: [...cells.values()].map((results) => {
        const { task, adapters, learningRate, steps } = results[0]!;
        const description = tasks.find(({ name }) => name === task);
        const rate = description?.learningRate[adapters ? 'lora' : 'full'];
        return [
          task,
          adapters ? 'adapters' : 'all weights',
          learningRate.toExponential(),
          String(steps),
          fixed(100 * mean(results.map(({ validationAccuracy }) => validationAccuracy)), 1),
          String(results.length),
          rate === learningRate && description?.steps === steps ? 'chosen' : '',
        ];
      }),
    },
  };
}

function tasksSection({ tasks }: Comparison): Section {
  return {
    heading: 'Tasks',
    table: {
      columns: [
        { title: 'task' },
        left('used for'),
        left('character'),
        left('base'),
        { title: 'classes' },
        { title: 'steps' },
        { title: 'rate' },
        { title: 'rate, LoRA' },
        left('source'),
        left('description'),
      ],
      rows: tasks.map(({ name, tuning, character, base, classes, steps, learningRate, source, description }) => [
        name,
        tuning ? 'tuning' : 'evaluation',
        character,
        base,
        String(classes.length),
        String(steps),
        learningRate.full.toExponential(),
        learningRate.lora.toExponential(),
        source,
        description,
      ]),
    },
    long: true,
  };
}

const armsInWords: Record<ArmName, string> = {
  full: 'all weights, to the end of the schedule',
  'full+stopping': 'classic early stopping on a small validation set, with the weights it stopped at',
  'full+stopping-best': 'the same, returning to the best weights seen',
  'full+stopping-costly': 'the same as full+stopping, on a validation set as costly as the paper’s times imply',
  'full+grades': 'GradES on all weights',
  lora: 'adapters, to the end of the schedule',
  'lora+stopping': 'adapters with classic early stopping on a small validation set',
  'lora+grades': 'GradES on adapters',
  'plain-stop': 'full training cut off when it has used the operations of GradES',
  'short-cosine': 'a whole schedule as long as the operations of GradES allow',
  'short-cosine-2x': 'the same at twice the learning rate',
  'all-at-once': 'everything frozen at the mean step of GradES’s freezes',
  'random-matrices': 'other matrices, drawn at random, frozen at the times of GradES',
  reversed: 'the matrices of GradES in reversed order at its times',
  plateau: 'random matrices frozen where the training loss flattens',
  'lora-plain-stop': 'adapters cut off when they have used the operations of GradES on adapters',
  null: 'full training from weights that differ by next to nothing: the noise floor',
};

const armsSection: Section = {
  heading: 'The arms',
  table: {
    columns: [left('arm'), left('what it does')],
    rows: armNames.map((arm) => [arm, armsInWords[arm]]),
  },
  long: true,
};

function left(title: string) {
  return { title, align: 'left' as const };
}

/** Mean, interval, lower bound and verdict. */
function estimateCells({ estimate }: Difference): string[] {
  if (!estimate) return ['not run', absent, absent, absent];
  if (!estimate.hasInterval) return [signed(estimate.mean, 2), 'one pair', absent, 'not shown'];
  return [
    signed(estimate.mean, 2),
    `${signed(estimate.low, 2)} to ${signed(estimate.high, 2)}`,
    signed(estimate.lowerBound, 2),
    estimate.verdict,
  ];
}

/** What is missing, each said once. */
function remarksOf(differences: readonly Difference[]): string[] {
  const remarks = [...new Set(differences.flatMap(({ remarks }) => remarks))];
  return remarks.length > 0 ? [`Missing, and left out of the pairs: ${remarks.join('; ')}.`] : [];
}

function finite(runs: readonly ArmResult[]): number[] {
  return runs.map(({ accuracy }) => accuracy).filter(Number.isFinite);
}

function spreadOf(shares: readonly number[], seeds: number): string {
  if (shares.length === 0) return absent;
  const deviation = standardDeviation(shares);
  const spread = deviation === null ? '' : ` ± ${fixed(100 * deviation, 1)}`;
  return `${fixed(100 * mean(shares), 1)}${spread}${shares.length < seeds ? ` (${shares.length})` : ''}`;
}

function meanOverTasks(runs: readonly ArmResult[]): number {
  const tasks = [...new Set(runs.map(({ task }) => task))];
  return mean(tasks.map((task) => mean(runs.filter((run) => run.task === task).map(({ accuracy }) => accuracy))));
}
