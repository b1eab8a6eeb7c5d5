/** The backward graph of the step to come, drawn: what has left it stays as an outline. */
import type { DrawnGraph, DrawnNode, Message, RunState } from '../protocol.ts';
import type { MakeView } from '../view.ts';
import { formatBytes, make, makeSvg, spoken } from './element.ts';

const box = { width: 86, height: 34, columnGap: 16, rowGap: 14 };

interface Place {
  x: number;
  y: number;
}

/** Where the nodes of the whole graph stand: a row of lanes for each block, columns in the order of computation. */
function layOut({ nodes, edges }: DrawnGraph): { places: Map<string, Place>; width: number; height: number } {
  const depth = new Map<string, number>();
  // Nodes come in an order in which each follows what it was computed from.
  for (const { id } of nodes) {
    const before = edges.filter(([, to]) => to === id).map(([from]) => depth.get(from) ?? 0);
    depth.set(id, before.length === 0 ? 0 : 1 + Math.max(...before));
  }
  const blocks = nodes.flatMap(({ block }) => (block === null ? [] : [block]));
  const lastBlock = Math.max(...blocks);
  const deepest = (block: number) =>
    Math.max(...nodes.filter((node) => node.block === block).map(({ id }) => depth.get(id) ?? 0));
  /** Before the blocks stands with block 0, what follows them in a row of its own. */
  const rowOf = ({ id, block }: DrawnNode) => block ?? ((depth.get(id) ?? 0) > deepest(lastBlock) ? lastBlock + 1 : 0);
  const places = new Map<string, Place>();
  let top = 0;
  let width = 0;
  for (let row = 0; row <= lastBlock + 1; row++) {
    const own = nodes.filter((node) => rowOf(node) === row);
    const first = Math.min(...own.map(({ id }) => depth.get(id) ?? 0));
    const taken = new Map<number, number>();
    for (const { id } of own) {
      const column = (depth.get(id) ?? 0) - first;
      const lane = taken.get(column) ?? 0;
      taken.set(column, lane + 1);
      const x = column * (box.width + box.columnGap);
      places.set(id, { x, y: top + lane * (box.height + box.rowGap) });
      width = Math.max(width, x + box.width);
    }
    top += Math.max(...taken.values()) * (box.height + box.rowGap) + 2 * box.rowGap;
  }
  return { places, width, height: top };
}

export const graphView: MakeView = (place) => {
  const svg = makeSvg('svg', { class: 'graph', role: 'group', 'aria-label': 'Nodes of the backward graph' });
  const [numbers, details] = [make('table', 'numbers'), make('div', 'details')];
  details.setAttribute('aria-live', 'polite');
  place.append(
    make('h2', '', 'The backward graph'),
    make(
      'p',
      '',
      'Each box is an operation that the next backward pass walks through. Dots are parameters whose gradient it computes; the bar below is what it keeps in memory for that. Click a box.',
    ),
    numbers,
    make('div', 'scroll', svg),
    details,
  );

  let first: DrawnGraph | null = null;
  let graph: DrawnGraph | null = null;
  let layout: ReturnType<typeof layOut> | null = null;
  let start: RunState | null = null;
  let now: RunState | null = null;
  /** Of the last steps: one step alone says little. */
  let times: number[] = [];
  let firstTimes: number[] = [];
  let chosen = '';
  let isNew = false;

  function drawGraph(shown: DrawnGraph, whole: DrawnGraph, { places, width, height }: ReturnType<typeof layOut>): void {
    const here = new Map(shown.nodes.map((node) => [node.id, node]));
    const most = Math.max(...whole.nodes.map(bytesOf));
    svg.setAttribute('viewBox', `-26 -16 ${width + 52} ${height + 4}`);
    svg.style.minWidth = `${Math.round(0.62 * width)}px`;
    const alive = new Set(shown.edges.map((edge) => edge.join('\n')));
    const lines = whole.edges.map((edge) => {
      const [from, to] = edge.map((id) => places.get(id) ?? { x: 0, y: 0 });
      const path = makeSvg('path', { class: alive.has(edge.join('\n')) ? 'edge' : 'edge gone', d: way(from, to) });
      return path;
    });
    const boxes = whole.nodes.map((before) => {
      const { x, y } = places.get(before.id) ?? { x: 0, y: 0 };
      const node = here.get(before.id);
      const group = makeSvg('g', { transform: `translate(${x} ${y})`, class: node ? 'node' : 'node gone' });
      const [label, below] = labelsOf(before);
      group.append(
        makeSvg('rect', { width: box.width, height: box.height, rx: 5 }),
        makeSvg('text', { x: box.width / 2, y: 14, 'text-anchor': 'middle' }, label),
        makeSvg('text', { x: box.width / 2, y: 26, 'text-anchor': 'middle', class: 'below' }, below),
      );
      if (!node) {
        group.setAttribute('aria-hidden', 'true');
        return group;
      }
      const share = bytesOf(node) / most;
      group.append(makeSvg('rect', { class: 'saved', y: box.height - 4, width: share * box.width, height: 4 }));
      if (node.parameters.length > 0)
        group.append(makeSvg('circle', { class: 'parameter', cx: box.width - 6, cy: 6, r: 3.5 }));
      for (const [name, value] of Object.entries({
        'data-node': node.id,
        role: 'button',
        tabindex: '0',
        'aria-label': `${label} ${below}, keeps ${formatBytes(bytesOf(node))}`,
        'aria-pressed': String(node.id === chosen),
      })) {
        group.setAttribute(name, value);
      }
      const choose = () => {
        chosen = node.id;
        isNew = true;
        draw();
      };
      group.addEventListener('click', choose);
      group.addEventListener('keydown', (event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        choose();
        svg.querySelector<SVGElement>(`[aria-pressed=true]`)?.focus();
      });
      return group;
    });
    svg.replaceChildren(...lines, ...boxes);
    const node = here.get(chosen);
    const gone = whole.nodes.find(({ id }) => id === chosen);
    if (node) describe(node, whole);
    else if (gone)
      details.replaceChildren(
        make('p', '', `${labelsOf(gone).join(' ')} has left the graph: no gradient has to pass it any more.`),
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
      make('h3', '', `${node.operation}${node.module === '' ? '' : ` in ${node.module}`}`),
      make('p', '', `Computes ${node.computes}. Its result has the shape [${node.shape.join(', ')}].`),
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
    drawGraph(graph, first, layout);
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
  if (operation === 'matmul') return [last, `x · W`];
  const below = operation === 'reshape' || operation === 'rotary' || block === null ? '' : last;
  return [operation, below.toLowerCase() === operation.toLowerCase() ? '' : below];
}

function way(from: Place, to: Place): string {
  const [x1, y1] = [from.x + box.width, from.y + box.height / 2];
  const [x2, y2] = [to.x, to.y + box.height / 2];
  if (x2 > x1 && (x2 - x1 < 2 * box.columnGap || y1 !== y2)) {
    const bend = Math.min(40, (x2 - x1) / 2);
    return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  }
  if (x2 > x1) {
    // Over what stands between.
    const over = from.y - box.rowGap * 0.6;
    return `M${from.x + box.width / 2} ${from.y}C${from.x + box.width / 2} ${over} ${x1} ${over} ${x1 + 8} ${over}H${x2 - 8}C${x2 + box.width / 2} ${over} ${x2 + box.width / 2} ${over} ${x2 + box.width / 2} ${to.y}`;
  }
  const between = to.y - box.rowGap;
  return `M${x1} ${y1}C${x1 + 12} ${y1} ${x1 + 12} ${between} ${x1 - 8} ${between}H${x2 - 2}C${x2 - 12} ${between} ${x2 - 12} ${y2} ${x2} ${y2}`;
}
