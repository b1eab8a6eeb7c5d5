/**
 * Published multiple-choice tasks, by the names of their fields: what stands before the choices, the choices, and which is right.
 * The prompts are those of lm-evaluation-harness 0.4.13.
 */

/** One line of a file. */
export type Fields = Readonly<Record<string, unknown>>;

export interface Choices {
  /** What stands before the choices: one for all of them, or one before each. A space follows. */
  readonly prompts: readonly string[];
  readonly choices: readonly string[];
  /** The number of the right choice, from 0. */
  readonly answer: number;
}

/** A line that does not have what its form asks for. The message names the field. */
export class FieldError extends Error {
  override readonly name = 'FieldError';
}

export const templateNames = [
  'boolq',
  'piqa',
  'siqa',
  'hellaswag',
  'winogrande',
  'openbookqa',
  'arc-easy',
  'arc-challenge',
] as const;

export type TemplateName = (typeof templateNames)[number];

/** @throws FieldError where a field is missing, or the label is not among the choices. */
export function fromTemplate(name: TemplateName, fields: Fields): Choices {
  return templates[name](fields);
}

export function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

/** @throws FieldError where it is no text, or an empty one. */
export function textOf(fields: Fields, name: string): string {
  const value = fields[name];
  if (isText(value)) return value;
  throw new FieldError(`"${name}" is ${shown(value)} (allowed: a text that is not empty)`);
}

export function shown(value: unknown): string {
  return JSON.stringify(value) ?? 'missing';
}

const arc = (fields: Fields): Choices => {
  const { question, ...labelled } = labelledChoices(fields, 'question');
  return { prompts: [`Question: ${question}\nAnswer:`], ...labelled };
};

const templates: Readonly<Record<TemplateName, (fields: Fields) => Choices>> = {
  boolq: (fields) => ({
    prompts: [`${textOf(fields, 'passage')}\nQuestion: ${textOf(fields, 'question')}?\nAnswer:`],
    choices: ['no', 'yes'],
    answer: labelOf(fields, 'label', [
      [0, false],
      [1, true],
    ]),
  }),
  piqa: (fields) => ({
    prompts: [`Question: ${textOf(fields, 'goal')}\nAnswer:`],
    choices: [textOf(fields, 'sol1'), textOf(fields, 'sol2')],
    answer: labelOf(fields, 'label', [[0], [1]]),
  }),
  siqa: (fields) => ({
    prompts: [`Q: ${textOf(fields, 'context')} ${textOf(fields, 'question')}\nA:`],
    choices: ['answerA', 'answerB', 'answerC'].map((name) => textOf(fields, name)),
    answer: labelOf(fields, 'label', [
      ['1', 1],
      ['2', 2],
      ['3', 3],
    ]),
  }),
  hellaswag(fields) {
    const { ctx_b: end } = fields;
    if (typeof end !== 'string') throw new FieldError(`"ctx_b" is ${shown(end)} (allowed: a text)`);
    const context = `${textOf(fields, 'ctx_a')} ${end.slice(0, 1).toUpperCase()}${end.slice(1).toLowerCase()}`;
    const choices = textsOf(fields, 'endings').map(withoutMarks);
    const answer = labelOf(
      fields,
      'label',
      choices.map((_, i) => [i, String(i)]),
    );
    return { prompts: [withoutMarks(`${textOf(fields, 'activity_label')}: ${context}`)], choices, answer };
  },
  /** The choices stand in the sentence: what is compared is the likelihood of its end. */
  winogrande(fields) {
    const sentence = textOf(fields, 'sentence');
    const gap = sentence.indexOf('_');
    if (gap < 0) throw new FieldError('"sentence" has no _ where the choices go');
    const end = sentence.slice(gap + 1).trim();
    return {
      prompts: ['option1', 'option2'].map((name) => sentence.slice(0, gap) + textOf(fields, name)),
      choices: [end, end],
      answer: labelOf(fields, 'answer', [['1'], ['2']]),
    };
  },
  openbookqa(fields) {
    const { question, ...labelled } = labelledChoices(fields, 'question_stem');
    return { prompts: [question], ...labelled };
  },
  'arc-easy': arc,
  'arc-challenge': arc,
};

/** The number of the choice whose labels this one is among. */
function labelOf(fields: Fields, name: string, labels: readonly (readonly unknown[])[]): number {
  const answer = labels.findIndex((each) => each.includes(fields[name]));
  if (answer >= 0) return answer;
  throw new FieldError(
    `"${name}" is ${shown(fields[name])} (allowed: ${labels.map(([each]) => shown(each)).join(', ')})`,
  );
}

function textsOf(fields: Fields, name: string): string[] {
  const value = fields[name];
  if (Array.isArray(value) && value.length > 1 && value.every(isText)) return value;
  throw new FieldError(`"${name}" must be two texts or more, none of them empty`);
}

/**
 * A question, its choices and their labels, as the Hugging Face hub has them ({"text": […], "label": […]} beside the question), or
 * as their authors published them (a list of {"text", "label"} in the question).
 */
function labelledChoices(fields: Fields, name: string): { question: string; choices: string[]; answer: number } {
  const published: unknown = fields.question;
  const isPublished = typeof published === 'object' && published !== null;
  const holder: Fields = isPublished ? { ...published } : fields;
  const question = textOf(holder, isPublished ? 'stem' : name);
  const { choices: given } = holder;
  const choices: Fields = Array.isArray(given)
    ? { text: given.map((each) => Object(each).text), label: given.map((each) => Object(each).label) }
    : { ...Object(given) };
  const texts = textsOf(choices, 'text');
  const labels = textsOf(choices, 'label');
  if (labels.length !== texts.length) {
    throw new FieldError(`"label" has ${labels.length} entries, "text" has ${texts.length} (allowed: as many)`);
  }
  const { answerKey } = fields;
  const key = typeof answerKey === 'string' ? { answerKey: answerKey.trimStart() } : fields;
  return {
    question,
    choices: texts,
    answer: labelOf(
      key,
      'answerKey',
      labels.map((label) => [label]),
    ),
  };
}

/** What WikiHow left in the texts of HellaSwag is taken out. */
function withoutMarks(text: string): string {
  return text
    .trim()
    .replaceAll(' [title]', '. ')
    .replaceAll(/\[.*?\]/g, '')
    .replaceAll('  ', ' ');
}
