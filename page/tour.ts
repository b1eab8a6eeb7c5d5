/** A guided tour of seven stops over the page, and the questions that a newcomer asks. Each stop shows the lines of the source that do it. */
import type { MakeView } from './view.ts';
import { make } from './views/element.ts';

interface Stop {
  title: string;
  text: string;
  todo: string;
  /** Shown from the line that holds `from` on. */
  source: { path: string; from: string; lines: number };
}

const stops: readonly Stop[] = [
  {
    title: 'What a tensor is here',
    text: 'Numbers in a buffer, and a shape that says how to read them. A reshape copies nothing: it is another shape over the same buffer.',
    todo: 'Click “embedding” in the graph. Its shape counts samples of the batch, tokens of each, and the numbers that stand for a token.',
    source: { path: 'src/tensor/tensor.ts', from: ' * An n-dimensional array on a device', lines: 22 },
  },
  {
    title: 'The graph',
    text: 'Each operation whose input has something that trains below it writes down a node: who its inputs were, and how a gradient comes back to them. Where nothing trains below, nothing is written down.',
    todo: 'Follow the arrows from “embedding” to “crossEntropy”, whose result is the loss. Each row of boxes is a block.',
    source: { path: 'src/autograd/record.ts', from: ' * Enters `output` into the graph', lines: 26 },
  },
  {
    title: 'One backward pass',
    text: 'It begins with 1 at the loss and visits the nodes in reverse order. Each turns the gradient of its result into the gradients of its inputs, and is freed.',
    todo: 'Press “Pause”, then “Single step”: one forward pass, one backward pass, one update of each run. Click “attention” and read whose gradients it gives.',
    source: { path: 'src/autograd/backward.ts', from: '  const walk = () => {', lines: 8 },
  },
  {
    title: 'What is saved, and why',
    text: 'For x · W the gradient of W needs x, and the gradient of x needs W. W is there anyway; x must be kept from the forward pass until the backward pass comes by.',
    todo: 'Click “query” in block 1 and read what it keeps, and for which gradient.',
    source: { path: 'src/autograd/operations/matmul/matmul.ts', from: '  const rules: GradientRule[] = [', lines: 21 },
  },
  {
    title: 'The signal',
    text: 'The batch is halved, and the gradients of the halves are multiplied and summed. Their noise is independent, so what remains on average is the part that both agree on: what the matrix still has to learn.',
    todo: 'Click matrices in the table. Each curve is a share of its own highest value; the dashed line is the threshold.',
    source: { path: 'src/grades/signals/split-half.ts', from: '/**', lines: 16 },
  },
  {
    title: 'A freeze',
    text: 'A frozen matrix is a constant. Nothing else is told: the next forward pass just records a smaller graph, and the optimizer lets go of what it kept for the matrix.',
    todo: 'Click a matrix that still trains and press “Freeze it now”. Its box in the graph loses its dot, and keeps less. Thaw it again.',
    source: { path: 'src/nn/parameter.ts', from: '  freeze(): void {', lines: 8 },
  },
  {
    title: 'What it saves, and what it does not',
    text: 'A frozen matrix saves its own gradient and what was kept for it. The gradient still passes through it to whatever trains below; only when a whole block at the bottom is frozen does that part of the graph go. The forward pass stays as it is.',
    todo: 'Look for the plain stop in the curves: where the full run would be after the same operations. On tasks as easy as this one it is often as good.',
    source: { path: 'src/grades/rivals/fixed-stop.ts', from: ' * The plainest rival', lines: 32 },
  },
];

const questions: readonly [question: string, answer: string][] = [
  [
    'Why does freezing a query save less than freezing a block?',
    'The query’s own gradient is no longer computed, but the gradient of its input is: norms and matrices below need it. So its box stays. When all of block 0 is frozen, with its norms and the embeddings, nothing below needs a gradient, and its whole row of boxes goes.',
  ],
  [
    'Why does the loss not jump at a freeze?',
    'A freeze changes no number of the model. The matrix keeps its values and is used as before; it is only no longer changed. What the others learn from then on may differ a little.',
  ],
  [
    'Why does the lower block first matter?',
    'Gradients flow from the loss downwards. A block whose lower neighbours still train must pass the gradient on, whether it is frozen itself or not. From the bottom up there is nobody left to pass it on to. Compare the two GradES rules: with the lowest signal first the boxes stay until the very end.',
  ],
  [
    'Why did memory fall?',
    'What the forward pass keeps, it keeps for gradients. Where a gradient is not wanted, its operands are not kept: click a box before and after a freeze. The optimizer’s two moments of a frozen matrix are given back as well.',
  ],
];

/** Read when somebody looks. */
const sources = import.meta.glob<string>(
  [
    '../src/tensor/tensor.ts',
    '../src/autograd/{record,backward}.ts',
    '../src/autograd/operations/matmul/matmul.ts',
    '../src/grades/signals/split-half.ts',
    '../src/nn/parameter.ts',
    '../src/grades/rivals/fixed-stop.ts',
  ],
  { query: '?raw', import: 'default' },
);

export const tourView: MakeView = (place) => {
  const list = make('ol', 'stops');
  for (const stop of stops) {
    const code = make('pre', '', make('code'));
    code.tabIndex = 0;
    const summary = make('summary', '', stop.source.path);
    const details = make('details', '', summary, code);
    details.addEventListener('toggle', () => void showSource(stop.source, summary, code), { once: true });
    list.append(
      make(
        'li',
        '',
        make('h3', '', stop.title),
        make('p', '', stop.text),
        make('p', 'todo', make('strong', '', 'Do: '), stop.todo),
        details,
      ),
    );
  }
  const answers = questions.map(([question, answer]) =>
    make('details', '', make('summary', '', question), make('p', '', answer)),
  );
  place.append(make('h2', '', 'A tour of seven stops'), list, make('h2', '', 'Questions'), ...answers);
  return { receive() {}, draw() {} };
};

async function showSource(
  { path, from, lines }: Stop['source'],
  summary: HTMLElement,
  code: HTMLElement,
): Promise<void> {
  const text = (await sources[`../${path}`]?.()) ?? '';
  const all = text.split('\n');
  const first = all.findIndex((line) => line.includes(from));
  summary.textContent = `${path}, from line ${first + 1}`;
  code.replaceChildren(make('code', '', all.slice(first, first + lines).join('\n')));
}
