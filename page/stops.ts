/** The seven stops of the tour. Each points at a part of the page, and at the lines of the source that do what it tells. */

export interface Stop {
  title: string;
  text: string;
  todo: string;
  /** Id of the part of the page that it speaks of. */
  about: string;
  /** Shown from the line that holds `from` on. */
  source: { path: string; from: string; lines: number };
}

export const stops: readonly Stop[] = [
  {
    title: 'What a tensor is here',
    text: 'Numbers in a buffer, and a shape that says how to read them. A reshape copies nothing: it is another shape over the same buffer.',
    todo: 'Click “embedding” in the graph. Its shape counts samples of the batch, tokens of each, and the numbers that stand for a token.',
    about: 'graph',
    source: { path: 'src/tensor/tensor.ts', from: ' * An n-dimensional array on a device', lines: 22 },
  },
  {
    title: 'The graph',
    text: 'Each operation whose input has something that trains below it writes down a node: who its inputs were, and how a gradient comes back to them. Where nothing trains below, nothing is written down.',
    todo: 'Follow the arrows from “embedding” to “crossEntropy”, whose result is the loss. Each row of boxes is a block.',
    about: 'graph',
    source: { path: 'src/autograd/record.ts', from: ' * Enters `output` into the graph', lines: 26 },
  },
  {
    title: 'One backward pass',
    text: 'It begins with 1 at the loss and visits the nodes in reverse order. Each turns the gradient of its result into the gradients of its inputs, and is freed.',
    todo: 'Press “Pause”, then “Single step”: one forward pass, one backward pass, one update of each run. Click “attention” and read whose gradients it gives.',
    about: 'graph',
    source: { path: 'src/autograd/backward.ts', from: '  const walk = () => {', lines: 8 },
  },
  {
    title: 'What is saved, and why',
    text: 'For x · W the gradient of W needs x, and the gradient of x needs W. W is there anyway; x must be kept from the forward pass until the backward pass comes by.',
    todo: 'Click “query” in block 1 and read what it keeps, and for which gradient.',
    about: 'graph',
    source: { path: 'src/autograd/operations/matmul/matmul.ts', from: '  const rules: GradientRule[] = [', lines: 21 },
  },
  {
    title: 'The signal',
    text: 'The batch is halved, and the gradients of the halves are multiplied and summed. Their noise is independent, so what remains on average is the part that both agree on: what the matrix still has to learn.',
    todo: 'Click matrices in the table. Each curve is a share of its own highest value; the dashed line is the threshold.',
    about: 'matrices',
    source: { path: 'src/grades/signals/split-half.ts', from: '/**', lines: 16 },
  },
  {
    title: 'A freeze',
    text: 'A frozen matrix is a constant. Nothing else is told: the next forward pass just records a smaller graph, and the optimizer lets go of what it kept for the matrix.',
    todo: 'Click a matrix that still trains and press “Freeze it now”. Its box in the graph loses its dot, and keeps less. Thaw it again.',
    about: 'matrices',
    source: { path: 'src/nn/parameter.ts', from: '  freeze(): void {', lines: 8 },
  },
  {
    title: 'What it saves, and what it does not',
    text: 'A frozen matrix saves its own gradient and what was kept for it. The gradient still passes through it to whatever trains below; only when a whole block at the bottom is frozen does that part of the graph go. The forward pass stays as it is.',
    todo: 'Look for the plain stop in the curves: where the full run would be after the same operations. On tasks as easy as this one it is often as good.',
    about: 'chart',
    source: { path: 'src/grades/rivals/fixed-stop.ts', from: ' * The plainest rival', lines: 32 },
  },
];
