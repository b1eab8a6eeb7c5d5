/** What the model says to held-out samples, and what one of its heads looks at. */
import type { AttentionLook, AttentionPicture, Message, Sample } from '../protocol.ts';
import type { MakeView } from '../view.ts';
import { make, makeSvg } from './element.ts';

export const samplesView: MakeView = (place) => {
  const [body, when, earlier] = [make('tbody'), make('p', 'note'), make('ul', 'earlier')];
  earlier.tabIndex = 0;
  const head = make('tr', '', ...['input', 'right', 'the model says'].map((title) => make('th', '', title)));
  place.append(
    make('h2', '', 'What it says'),
    make('p', '', 'Samples that are never trained on, answered by the model with the rule.'),
    make('div', 'scroll', make('table', 'samples', make('thead', '', head), body)),
    when,
    make('h3', '', 'How the first answer changed'),
    earlier,
  );
  let samples: readonly Sample[] = [];
  let step = 0;
  /** Of the first sample. */
  let answers: { step: number; output: string; target: string }[] = [];
  let isNew = false;
  return {
    receive(message: Message) {
      if (message.type === 'started') answers = [];
      if (message.type === 'restored') answers = answers.filter((answer) => answer.step < message.step);
      if (message.type !== 'samples') return;
      ({ samples, step } = message);
      const [{ output, target }] = samples;
      if (answers.at(-1)?.output !== output) answers.push({ step, output, target });
      isNew = true;
    },
    draw() {
      if (!isNew) return;
      isNew = false;
      when.textContent = `After step ${step}.`;
      earlier.replaceChildren(
        ...answers.map(({ step, output, target }) =>
          make('li', '', `after step ${step}: `, make('span', 'text', ...compared(output, target))),
        ),
      );
      body.replaceChildren(
        ...samples.map(({ input, target, output }) =>
          make(
            'tr',
            '',
            make('td', 'text', input),
            make('td', 'text', target),
            make('td', 'text', ...compared(output, target)),
          ),
        ),
      );
    },
  };
};

/** Characters that are not as they should be are marked. */
function compared(output: string, target: string): (Node | string)[] {
  const right = [...target];
  return [...output].map((character, i) => (character === right[i] ? character : make('mark', '', character)));
}

export const attentionView: MakeView = (place, send) => {
  const names = ['block', 'head', 'sample'] as const;
  const selects = names.map((name) => {
    const select = make('select');
    select.addEventListener('change', () => send({ type: 'attention', look: look() }));
    return { name, select };
  });
  const svg = makeSvg('svg', { class: 'attention', role: 'img' });
  const when = make('p', 'note');
  place.append(
    make('h2', '', 'What one head looks at'),
    make(
      'p',
      '',
      'Each row is a position of the input, each column one that it can see; the darker, the more it takes from there.',
    ),
    make('p', 'choices', ...selects.map(({ name, select }) => make('label', '', `${name} `, select))),
    svg,
    when,
  );
  let attention: AttentionPicture | null = null;
  let isNew = false;

  function look(): AttentionLook {
    const [block, head, sample] = selects.map(({ select }) => Number(select.value));
    return { block, head, sample };
  }

  return {
    receive(message: Message) {
      if (message.type === 'started') {
        const { blocks, heads } = message.description.model;
        const counts = { block: blocks, head: heads, sample: 4 };
        for (const { name, select } of selects) {
          select.replaceChildren(...Array.from({ length: counts[name] }, (_, i) => new Option(String(i))));
        }
      }
      if (message.type !== 'attention') return;
      ({ attention } = message);
      isNew = true;
    },
    draw() {
      if (!attention || !isNew) return;
      isNew = false;
      const { tokens, weights, step, block, head } = attention;
      const size = tokens.length;
      svg.setAttribute('viewBox', `-1.2 -1.2 ${size + 1.4} ${size + 1.4}`);
      svg.setAttribute('aria-label', `Attention of head ${head} in block ${block} over ${tokens.join('')}`);
      const letters = tokens.flatMap((token, i) => [
        makeSvg('text', { x: i + 0.5, y: -0.3, 'text-anchor': 'middle' }, token),
        makeSvg('text', { x: -0.3, y: i + 0.7, 'text-anchor': 'end' }, token),
      ]);
      const fields = weights.flatMap((row, y) =>
        row.flatMap((weight, x) =>
          weight < 0.005
            ? []
            : [
                makeSvg(
                  'rect',
                  { x, y, width: 0.96, height: 0.96, opacity: weight.toFixed(2) },
                  makeSvg('title', {}, told(tokens, y, x, weight)),
                ),
              ],
        ),
      );
      svg.replaceChildren(makeSvg('rect', { class: 'ground', width: size, height: size }), ...fields, ...letters);
      const [last] = weights.slice(-1);
      const most = Math.max(...last);
      when.textContent = `After step ${step}. ${told(tokens, size - 1, last.indexOf(most), most)}`;
    },
  };
};

function told(tokens: readonly string[], from: number, to: number, weight: number): string {
  return `“${tokens[from]}” at ${from + 1} takes ${Math.round(100 * weight)} % from “${tokens[to]}” at ${to + 1}.`;
}
