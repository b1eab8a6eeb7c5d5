/** Loss and accuracy of the two runs, and where a plain stop at the same operations would be. */
import type { Message, StepState } from '../protocol.ts';
import type { MakeView } from '../view.ts';
import { make } from './element.ts';
import { drawPlot, type Mark, makePlot } from './plot.ts';

export const chartView: MakeView = (place) => {
  const loss = makePlot('Training loss of both runs over the steps');
  const accuracy = makePlot('Accuracy of both runs on held-out samples over the steps');
  const told = make('p');
  place.append(
    make('h2', '', 'What it costs, and what it saves'),
    make('p', 'legend', make('span', 'key full', 'everything trains'), make('span', 'key rule', 'with the rule')),
    make(
      'div',
      'pair',
      make('figure', '', make('figcaption', '', 'Training loss'), loss),
      make('figure', '', make('figcaption', '', 'Right answers on held-out samples'), accuracy),
    ),
    told,
  );
  let steps = 1;
  let state: StepState | null = null;
  const empty = () => ({ loss: [] as (number | null)[], accuracy: [] as (number | null)[] });
  let curves = { full: empty(), rule: empty() };

  function draw(): void {
    if (!state) return;
    const { full, rule, stop } = state;
    const values = [...curves.full.loss, ...curves.rule.loss].filter(
      (value) => value !== null && Number.isFinite(value),
    );
    const found = values.reduce<[number, number]>(
      ([low, high], value) => [Math.min(low, value ?? low), Math.max(high, value ?? high)],
      [1, 1],
    );
    const marks = (value: number | null): Mark[] => [
      { className: 'stop', step: stop.step, label: 'plain stop' },
      ...(value === null ? [] : [{ className: 'stop', step: stop.step, value, label: '' }]),
    ];
    const lines = (of: 'loss' | 'accuracy') => [
      { values: curves.full[of], className: 'full' },
      { values: curves.rule[of], className: 'rule' },
    ];
    const isStopped = rule.operationsSoFar < full.operationsSoFar;
    drawPlot(loss, {
      ...{
        steps,
        lowest: found[0],
        highest: found[1],
        isLogarithmic: true,
        format: (value) => String(Number(value.toPrecision(2))),
      },
      lines: lines('loss'),
      marks: isStopped ? marks(stop.loss) : [],
    });
    drawPlot(accuracy, {
      ...{ steps, lowest: 0, highest: 1, format: (value) => `${Math.round(100 * value)} %` },
      lines: lines('accuracy'),
      marks: isStopped ? marks(stop.accuracy) : [],
    });
    const saved = Math.round(100 * (1 - rule.operationsSoFar / full.operationsSoFar));
    const right = (value: number | null) => (value === null ? '–' : `${(100 * value).toFixed(1)} %`);
    told.textContent =
      `The rule has saved ${Math.max(0, saved)} % of the operations so far. Right answers: ${right(full.accuracy)} in full, ` +
      `${right(rule.accuracy)} with the rule, ${right(stop.accuracy)} if the full run had stopped at the same operations, after step ${stop.step}.`;
  }

  return {
    receive(message: Message) {
      switch (message.type) {
        case 'started':
          steps = message.description.settings.steps;
          state = null;
          curves = { full: empty(), rule: empty() };
          return;
        case 'step':
          state = message.state;
          for (const name of ['full', 'rule'] as const) {
            const run = message.state[name];
            if (run.step !== message.state.step) continue;
            curves[name].loss[run.step - 1] = run.loss;
            curves[name].accuracy[run.step - 1] = run.accuracy;
          }
          return;
        case 'restored':
          for (const { loss, accuracy } of Object.values(curves)) {
            loss.length = Math.min(loss.length, message.step);
            accuracy.length = loss.length;
          }
      }
    },
    draw,
  };
};
