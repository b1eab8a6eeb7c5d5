/** The matrices, blocks × kinds, coloured by signal over threshold; and the curve of the one that is pinned. */
import {
  type Description,
  type MatrixState,
  type Message,
  matrixKinds,
  type StepState,
  type Watching,
} from '../protocol.ts';
import type { MakeView } from '../view.ts';
import { make, spoken } from './element.ts';
import { drawPlot, type Mark, makePlot } from './plot.ts';

interface Cell {
  button: HTMLButtonElement;
  name: string;
  title: string;
  history: (number | null)[];
}

/** Milliseconds between two summaries for screen readers. */
const betweenSummaries = 5000;

export const matricesView: MakeView = (place, send) => {
  const table = make('table', 'matrices');
  const plot = makePlot('Signal of the pinned matrix over the steps');
  const [caption, told, change] = [make('h3'), make('p', 'note'), make('button')];
  change.type = 'button';
  const [unitLine, summary, heard] = [make('p', 'note'), make('p'), make('p', 'unseen')];
  heard.setAttribute('role', 'status');
  place.append(
    make('h2', '', 'The matrices'),
    make(
      'p',
      '',
      'One cell a matrix: hot while its gradient still says something, cold near the threshold, ice when it is frozen. Click one to see its curve.',
    ),
    make('div', 'scroll', table),
    summary,
    heard,
    unitLine,
    make('div', 'curve-head', caption, change),
    plot,
    told,
  );

  let description: Description | null = null;
  let watching: Watching | null = null;
  let cells: Cell[] = [];
  let state: StepState | null = null;
  /** Told between steps, before the next state says it. */
  const frozenNow = new Map<string, { step: number; reason: string } | null>();
  let pinned = 0;
  /** As the button says: a rule may freeze the matrix between what is drawn and the click. */
  let offered: 'freeze' | 'thaw' = 'freeze';
  let [lastFrozen, lastSummary] = ['', Number.NEGATIVE_INFINITY];
  let isPlanned = false;

  change.addEventListener('click', () => send({ type: offered, matrix: cells[pinned].name }));

  function frozenOf(index: number): MatrixState['frozen'] {
    const told = frozenNow.get(cells[index].name);
    return told === undefined ? (state?.matrices[index].frozen ?? null) : told;
  }

  function summarise(): void {
    const count = cells.filter((_, i) => frozenOf(i)).length;
    const last = count === 0 || lastFrozen === '' ? '' : ` The last was ${lastFrozen}.`;
    const text = `${count} of ${cells.length} matrices are frozen.${last}`;
    summary.textContent = text;
    if (text === heard.textContent) return;
    const early = lastSummary + betweenSummaries - performance.now();
    if (early > 0 && count > 0) {
      if (isPlanned) return;
      isPlanned = true;
      // While it is paused, nothing else would call this again.
      setTimeout(() => {
        isPlanned = false;
        summarise();
      }, early);
      return;
    }
    heard.textContent = text;
    lastSummary = performance.now();
  }

  function build({ matrices, model }: Description): void {
    cells = matrices.map(({ name, block, kind, shape }, i) => {
      const button = make('button');
      button.type = 'button';
      button.addEventListener('click', () => {
        pinned = i;
        draw();
      });
      return { button, name, title: `${kind} of block ${block}, ${shape.join(' × ')}`, history: [] };
    });
    const head = make('tr', '', make('th'), ...matrixKinds.map((kind) => make('th', '', kind)));
    const rows = Array.from({ length: model.blocks }, (_, block) => {
      const title = make('th', '', `block ${block}`);
      title.scope = 'row';
      const own = cells.filter((_, i) => matrices[i].block === block);
      return make('tr', '', title, ...own.map(({ button }) => make('td', '', button)));
    });
    table.replaceChildren(make('thead', '', head), make('tbody', '', ...rows));
  }

  function draw(): void {
    if (!description || !watching) return;
    const { unit, signal } = watching;
    unitLine.textContent =
      unit === 'none'
        ? 'This rule watches nothing.'
        : `Watched: ${signal}. ${unit === 'share' ? 'Values are shares of the matrix’s own peak.' : 'Values are sums over the matrix.'}`;
    cells.forEach(({ button, title }, i) => {
      const matrix = state?.matrices[i] ?? null;
      const frozen = frozenOf(i);
      const heat = matrix?.signal == null || frozen ? 0 : heatOf(matrix.signal, matrix.threshold, unit);
      button.className = frozen ? 'frozen' : matrix?.signal == null ? 'unknown' : 'live';
      button.style.setProperty('--heat', `${Math.round(100 * heat)}%`);
      button.textContent = frozen ? `❄ ${frozen.step}` : matrix?.signal == null ? '–' : shown(matrix.signal);
      button.setAttribute('aria-pressed', String(i === pinned));
      button.setAttribute(
        'aria-label',
        `${title}: ${frozen ? `frozen after step ${frozen.step}` : `signal ${button.textContent}`}`,
      );
    });
    summarise();
    drawCurve(description.settings.steps, watching);
  }

  function drawCurve(steps: number, { unit, graceSteps, settings }: Watching): void {
    const cell = cells[pinned];
    const matrix = state?.matrices[pinned] ?? null;
    const frozen = frozenOf(pinned);
    caption.textContent = cell.title;
    offered = frozen ? 'thaw' : 'freeze';
    change.textContent = frozen ? 'Thaw it' : 'Freeze it now';
    const marks: Mark[] = [];
    if (unit !== 'none') {
      marks.push({
        className: 'threshold',
        value: settings.threshold,
        label: `threshold ${shown(settings.threshold)}`,
      });
      marks.push({ className: 'grace', step: graceSteps, label: 'grace ends' });
    }
    if (matrix?.peak != null && matrix.peakStep != null) {
      marks.push({ className: 'peak', step: matrix.peakStep, value: matrix.peak, label: 'peak' });
    }
    if (frozen) marks.push({ className: 'frozen', step: frozen.step, label: `frozen after ${frozen.step}` });
    const highest = unit === 'share' ? 1.05 : Math.max(settings.threshold, matrix?.peak ?? 0) * 1.05;
    drawPlot(plot, {
      ...{ steps, lowest: 0, highest, marks, format: shown },
      lines: [{ values: cell.history, className: 'signal' }],
    });
    told.textContent = frozen
      ? `Frozen after step ${frozen.step}: ${frozen.reason}.`
      : 'It trains: its gradient is computed, and what that needs is saved.';
  }

  return {
    receive(message: Message) {
      switch (message.type) {
        case 'started':
          [description, state, pinned, lastFrozen] = [message.description, null, 0, ''];
          frozenNow.clear();
          build(description);
          break;
        case 'watching':
          watching = message.watching;
          break;
        case 'step':
          state = message.state;
          frozenNow.clear();
          for (const [i, { signal, frozen }] of state.matrices.entries()) {
            cells[i].history[state.step - 1] = frozen ? null : signal;
          }
          break;
        case 'frozen':
          frozenNow.set(message.event.name, { step: message.event.step, reason: message.event.reason });
          if (cells.some(({ name }) => name === message.event.name)) {
            lastFrozen = `${spoken(message.event.name)}, after step ${message.event.step}`;
          }
          break;
        case 'thawed':
          frozenNow.set(message.event.name, null);
          break;
        case 'restored':
          [state, lastFrozen] = [null, ''];
          frozenNow.clear();
          for (const { history } of cells) history.length = Math.min(history.length, message.step);
      }
    },
    draw,
  };
};

/** 0 at the threshold, 1 at the peak or ten times the threshold. */
function heatOf(signal: number, threshold: number, unit: Watching['unit']): number {
  const heat = unit === 'share' ? (signal - threshold) / (1 - threshold) : Math.log10(signal / threshold);
  return Math.min(1, Math.max(0, heat));
}

function shown(value: number): string {
  return value >= 10
    ? value.toFixed(0)
    : value >= 0.1 || value === 0
      ? value.toFixed(2)
      : String(Number(value.toPrecision(2)));
}
