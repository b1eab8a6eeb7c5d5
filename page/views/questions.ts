/** What a newcomer asks, answered so that the page shows whether it is true. */
import type { MakeView } from '../view.ts';
import { make } from './element.ts';

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
  [
    'Does freezing beat a plain stop?',
    'Not here, as far as we measured. Over eight tasks with five seeds each, ending the full run at the same operations was as good. The vertical line in the curves shows where that is in this run, and the text below it gives both accuracies. What is left for freezing are memory, and a frozen lower part that need not be computed again.',
  ],
];

export const questionsView: MakeView = (place) => {
  const answers = questions.map(([question, answer]) =>
    make('details', '', make('summary', '', question), make('p', '', answer)),
  );
  place.append(make('h2', '', 'Questions'), ...answers);
  return { receive() {}, draw() {} };
};
