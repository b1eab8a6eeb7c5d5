/** The guided tour: stop by stop beside the part of the page that it speaks of, or as a whole, to be read. */
import { type Stop, stops } from './stops.ts';
import type { MakeView } from './view.ts';
import { make } from './views/element.ts';

/** Read when somebody looks. */
const sources = import.meta.glob<string>(
  [
    '../src/tensor/tensor.ts',
    '../src/autograd/record.ts',
    '../src/autograd/backward.ts',
    '../src/autograd/operations/matmul/matmul.ts',
    '../src/grades/signals/split-half.ts',
    '../src/nn/parameter.ts',
    '../src/grades/rivals/fixed-stop.ts',
  ],
  { query: '?raw', import: 'default' },
);

export const tourView: MakeView = (place) => {
  const items = stops.map(itemOf);
  const [title, back, next, end] = [make('h2'), button('Back'), button('Next'), button('End')];
  const list = make('ol', 'stops', ...items);
  place.append(make('div', 'tour-head', title, back, next, end), list);
  /** Null: the whole tour lies there to be read. */
  let stop: number | null = null;

  function go(to: number | null): void {
    stop = to;
    place.classList.toggle('touring', stop !== null);
    title.textContent = stop === null ? 'A tour of seven stops' : `Stop ${stop + 1} of ${stops.length}`;
    [back.hidden, end.hidden] = [stop === null, stop === null];
    next.textContent = stop === null ? 'Begin' : stop === stops.length - 1 ? 'Done' : 'Next';
    back.disabled = stop === 0;
    for (const [i, item] of items.entries()) item.classList.toggle('here', i === stop);
    for (const each of document.querySelectorAll('.pointed')) each.classList.remove('pointed');
    if (stop === null) return;
    const about = document.getElementById(stops[stop].about);
    about?.classList.add('pointed');
    about?.scrollIntoView({ block: 'start' });
    // A screen reader reads the stop from here on.
    items[stop].focus({ preventScroll: true });
    place.scrollTop = 0;
  }
  const onward = () => {
    const to = stop === null ? 0 : stop + 1;
    go(to < stops.length ? to : null);
  };
  next.addEventListener('click', onward);
  back.addEventListener('click', () => go(Math.max(0, (stop ?? 0) - 1)));
  end.addEventListener('click', () => go(null));
  place.addEventListener('keydown', ({ key }) => {
    if (key === 'Escape' && stop !== null) go(null);
  });
  document.getElementById('take-tour')?.addEventListener('click', () => go(0));
  go(null);
  return { receive() {}, draw() {} };
};

function button(text: string): HTMLButtonElement {
  const made = make('button', '', text);
  made.type = 'button';
  return made;
}

function itemOf({ title, text, todo, source }: Stop): HTMLLIElement {
  const code = make('pre', '', make('code'));
  code.tabIndex = 0;
  const summary = make('summary', '', source.path);
  const details = make('details', '', summary, code);
  details.addEventListener('toggle', () => void showSource(source, summary, code), { once: true });
  const [heading, words] = [make('h3', '', title), make('p', '', text)];
  const item = make('li', '', heading, words, make('p', 'todo', make('strong', '', 'Do: '), todo), details);
  item.tabIndex = -1;
  return item;
}

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
  code.scrollIntoView({ block: 'nearest' });
}
