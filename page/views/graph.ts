/** The backward graph of the step to come, drawn: what has left it stays as an outline. */
import type { DrawnGraph, DrawnNode, Message, RunState } from '../protocol.ts';
import type { MakeView } from '../view.ts';
import { formatBytes, make, makeSvg, spoken } from './element.ts';
import { box, type Layout, layOut, way } from './layout.ts';

/** What is drawn of a node or an edge, for as long as the run goes on. */
interface Drawn {
  boxes: Map<string, { group: SVGGElement; saved: SVGElement; parameter: SVGElement }>;
  /** By both ends. */
  edges: Map<string, SVGElement>;
}

/** Along the arrows and back; up and down to whatever stands next. */
const arrows: Readonly<Record<string, readonly [x: number, y: number]>> = {
  ArrowRight: [1, 0],
  ArrowLeft: [-1, 0],
  ArrowDown: [0, 1],
  ArrowUp: [0, -1],
};

export const graphView: MakeView = (place) => {
  const svg = makeSvg('svg', { class: 'graph', role: 'group', 'aria-label': 'Nodes of the backward graph' });
  const [numbers, details] = [make('table', 'numbers'), make('div', 'details')];
  details.setAttribute('aria-live', 'polite');
  place.append(
    make('h2', '', 'The backward graph'),
    make(
      'p',
      '',
      'Each box is an operation that the next backward pass walks through. Dots are parameters whose gradient it computes; the bar below is what it keeps in memory for that. What has left is dashed. Click a box, or walk by the arrow keys.',
    ),
    numbers,
    make('div', 'scroll', svg),
    details,
  );

  let first: DrawnGraph | null = null;
  let graph: DrawnGraph | null = null;
  let layout: Layout | null = null;
  let drawn: Drawn | null = null;
  let start: RunState | null = null;
  let now: RunState | null = null;
  /** Of the last steps: one step alone says little. */
  let times: number[] = [];
  let firstTimes: number[] = [];
  let chosen = '';
  let isNew = false;

  /** The outlines of all that the run began with. */
  function drawOutlines(whole: DrawnGraph, { places, rows, width, height }: Layout): Drawn {
    svg.setAttribute('viewBox', `-26 -34 ${width + 52} ${height + 20}`);
    svg.style.minWidth = `${Math.round(0.85 * width)}px`;
    const titles = rows.map(({ title, y }) => makeSvg('text', { class: 'row', x: -20, y: y - 19 }, title));
    const edges = new Map(
      whole.edges.map(([from, to]) => {
        const d = way(places.get(from) ?? { x: 0, y: 0 }, places.get(to) ?? { x: 0, y: 0 });
        return [nameOf(from, to), makeSvg('path', { class: 'edge', d })] as const;
      }),
    );
    const boxes = new Map(
      whole.nodes.map((node) => {
        const { x, y } = places.get(node.id) ?? { x: 0, y: 0 };
        const [label, below] = labelsOf(node);
        const saved = makeSvg('rect', { class: 'saved', y: box.height - 4, width: 0, height: 4 });
        const parameter = makeSvg('circle', { class: 'parameter', cx: box.width - 2, cy: 2, r: 4 });
        const group = makeSvg(
          'g',
          { transform: `translate(${x} ${y})`, class: 'node', role: 'button' },
          makeSvg('rect', { width: box.width, height: box.height, rx: 5 }),
          makeSvg('text', { x: box.width / 2, y: 14, 'text-anchor': 'middle' }, label),
          makeSvg('text', { x: box.width / 2, y: 26, 'text-anchor': 'middle', class: 'below' }, below),
          saved,
          parameter,
        );
        group.addEventListener('click', () => choose(node.id));
        group.addEventListener('keydown', (event) => press(event, node.id));
        return [node.id, { group, saved, parameter }] as const;
      }),
    );
    svg.replaceChildren(...titles, ...edges.values(), ...[...boxes.values()].map(({ group }) => group));
    return { boxes, edges };
  }

  function choose(id: string): void {
    chosen = id;
    isNew = true;
    draw();
  }

  function press(event: KeyboardEvent, id: string): void {
    const arrow = arrows[event.key];
    if (!arrow && event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    const next = arrow ? neighbour(id, arrow) : null;
    if (!arrow) choose(id);
    if (next) stepTo(next);
  }

  /** One box at a time is reached by the tabulator. */
  function stepTo(next: string): void {
    for (const [each, { group }] of drawn?.boxes ?? []) group.setAttribute('tabindex', each === next ? '0' : '-1');
    drawn?.boxes.get(next)?.group.focus();
  }

  /** The nearest box in a direction; what lies aside counts as further away. */
  function neighbour(id: string, [right, down]: readonly [x: number, y: number]): string | null {
    const here = layout?.places.get(id);
    let [nearest, least]: [string | null, number] = [null, Number.POSITIVE_INFINITY];
    for (const { id: other } of graph?.nodes ?? []) {
      const there = layout?.places.get(other);
      if (!here || !there) continue;
      const [dx, dy] = [there.x - here.x, there.y - here.y];
      const distance = right * dx + down * dy + 3 * Math.abs(right * dy + down * dx);
      if (right * dx + down * dy > 0 && distance < least) [nearest, least] = [other, distance];
    }
    return nearest;
  }

  function drawGraph(shown: DrawnGraph, whole: DrawnGraph, { boxes, edges }: Drawn): void {
    const here = new Map(shown.nodes.map((node) => [node.id, node]));
    const most = Math.max(...whole.nodes.map(bytesOf));
    const alive = new Set(shown.edges.map(([from, to]) => nameOf(from, to)));
    for (const [name, edge] of edges) edge.classList.toggle('gone', !alive.has(name));
    const held = [...boxes].find(([id, { group }]) => here.has(id) && group.getAttribute('tabindex') === '0');
    const stop = here.has(chosen) ? chosen : (held?.[0] ?? shown.nodes[0].id);
    for (const before of whole.nodes) {
      const { group, saved, parameter } = boxes.get(before.id) ?? {};
      if (!group || !saved || !parameter) continue;
      const node = here.get(before.id);
      group.classList.toggle('gone', !node);
      saved.setAttribute('width', String(node ? (bytesOf(node) / most) * box.width : 0));
      parameter.toggleAttribute('hidden', !node || node.parameters.length === 0);
      group.toggleAttribute('data-node', node !== undefined);
      group.setAttribute('tabindex', before.id === stop ? '0' : '-1');
      group.setAttribute('aria-pressed', String(before.id === chosen));
      const keeps = node ? `keeps ${formatBytes(bytesOf(node))}` : 'has left the graph';
      group.setAttribute('aria-label', `${titleOf(before)}, ${keeps}`);
    }
    const node = here.get(chosen);
    const gone = whole.nodes.find(({ id }) => id === chosen);
    if (node) describe(node, whole);
    else if (gone)
      details.replaceChildren(
        make('p', '', `${titleOf(gone)} has left the graph: no gradient has to pass it any more.`),
      );
    else details.replaceChildren();
  }

  function describe(node: DrawnNode, whole: DrawnGraph): void {
    const target = (id: string) => {
      const input = whole.nodes.find((each) => each.id === id);
      return input ? `the result of ${labelsOf(input)[0]}` : spoken(id);
    };
    const saved = node.saved.map(({ origin, shape, bytes, neededFor }) =>
      make(
        'li',
        '',
        `${spoken(origin)} [${shape.join(', ')}], ${bytes === 0 ? 'which is kept anyway' : formatBytes(bytes)}, for the gradient of ${neededFor.map(target).join(' and ')}`,
      ),
    );
    details.replaceChildren(
      make('h3', '', titleOf(node)),
      make('p', '', `What it does: ${node.computes}. Its result has the shape [${node.shape.join(', ')}].`),
      make('p', '', `Backward, it gives the gradient of ${node.gradientsOf.map(target).join(', and of ')}.`),
      make('p', '', saved.length === 0 ? 'It keeps nothing for that.' : 'For that it keeps:'),
      make('ul', '', ...saved),
    );
  }

  function drawNumbers(): void {
    if (!graph || !first) return;
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const rows: [string, string, string][] = [
      ['operations in the graph', String(first.nodes.length), String(graph.nodes.length)],
      ['kept for the backward pass', formatBytes(first.savedBytes), formatBytes(graph.savedBytes)],
    ];
    if (start && now) {
      rows.push(['kernels dispatched a step', String(start.dispatches), String(now.dispatches)]);
      rows.push(['a step, mean of 20', `${mean(firstTimes).toFixed(1)} ms`, `${mean(times).toFixed(1)} ms`]);
    }
    numbers.replaceChildren(
      make('thead', '', make('tr', '', make('th'), make('th', '', 'at first'), make('th', '', 'now'))),
      make(
        'tbody',
        '',
        ...rows.map(([title, before, after]) =>
          make('tr', '', make('th', '', title), make('td', '', before), make('td', '', after)),
        ),
      ),
    );
  }

  function draw(): void {
    drawNumbers();
    if (!isNew || !graph || !first || !layout) return;
    isNew = false;
    drawn ??= drawOutlines(first, layout);
    drawGraph(graph, first, drawn);
  }

  return {
    receive(message: Message) {
      switch (message.type) {
        case 'started':
          [first, graph, start, now, times, firstTimes, chosen] = [null, null, null, null, [], [], ''];
          return;
        case 'graph':
          graph = message.graph;
          if (!first) {
            first = graph;
            layout = layOut(graph);
            drawn = null;
          }
          isNew = true;
          return;
        case 'step': {
          const { rule } = message.state;
          if (rule.step !== message.state.step) return;
          // The first step also makes what the optimizer keeps.
          if (rule.step > 1) start ??= rule;
          now = rule;
          times = [...times, rule.milliseconds].slice(-20);
          if (firstTimes.length < 20) firstTimes.push(rule.milliseconds);
        }
      }
    },
    draw,
  };
};

function bytesOf({ saved }: DrawnNode): number {
  return saved.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** A matrix product is called by what it multiplies with. */
function labelsOf({ operation, module, block }: DrawnNode): [string, string] {
  const last = module.split('.').at(-1) ?? '';
  if (operation === 'matmul') return [last, 'x · W'];
  if (operation === 'rmsNorm' && block !== null) return [operation, last.replace(/Norm$/, '')];
  const below = operation === 'rmsNorm' || operation === 'embedding' || block === null ? '' : module.split('.')[2];
  return [operation, operation === below ? '' : (below ?? '')];
}

function titleOf(node: DrawnNode): string {
  const [label, below] = labelsOf(node);
  const title = node.operation === 'matmul' ? `matmul: ${label}` : [label, below].filter(Boolean).join(', ');
  return node.block === null ? title : `${title}, block ${node.block}`;
}

function nameOf(from: string, to: string): string {
  return `${from} → ${to}`;
}
