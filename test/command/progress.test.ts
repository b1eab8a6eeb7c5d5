import { expect, test } from 'vitest';
import { Progress, type ProgressStream } from '../../command/progress.ts';

const ERASE = '\r\u001b[2K';

class FakeStream implements ProgressStream {
  written = '';
  isTTY: boolean;
  columns: number | undefined;

  constructor(isTTY: boolean, columns?: number) {
    this.isTTY = isTTY;
    this.columns = columns;
  }

  write(text: string): void {
    this.written += text;
  }
}

/** Runs some steps of 50 ms each and returns what was written. */
function run(
  stream: FakeStream,
  {
    total = 400,
    steps = 400,
    freezeAt = -1,
    doneBefore = 0,
    end = true,
  }: { total?: number; steps?: number; freezeAt?: number; doneBefore?: number; end?: boolean } = {},
): string {
  let clock = 0;
  const progress = new Progress({ label: 'full', total, doneBefore, stream, now: () => clock });
  for (let step = doneBefore + 1; step <= steps; step++) {
    clock += 50;
    progress.update(step, [
      { text: `${step}/${total}`, importance: 9 },
      { text: `loss ${step === 1 ? '–' : '1.5000'}`, importance: 8 },
      { text: '12.8k tokens/s', importance: 1 },
      { text: `${step > freezeAt ? 3 : 2}/14 frozen`, importance: 4 },
    ]);
    if (step === freezeAt) progress.line(`step ${step}: a matrix froze`);
  }
  if (end) progress.end();
  return stream.written;
}

test('a file or a pipe gets a bounded number of plain lines, the first and the last step among them', () => {
  const lines = run(new FakeStream(false)).trimEnd().split('\n');
  expect(lines.length).toBeLessThanOrEqual(12);
  expect(lines[0]).toBe('full  1/400  loss –  12.8k tokens/s  3/14 frozen  0:20 left');
  expect(lines.at(-1)).toBe('full  400/400  loss 1.5000  12.8k tokens/s  3/14 frozen  0:00 left');
  expect(lines.join('')).not.toContain('\u001b');
});

test('a quick run does not print a line for every tenth', () => {
  expect(run(new FakeStream(false), { total: 20, steps: 20 }).trimEnd().split('\n')).toHaveLength(2);
});

test('a terminal gets one line that is rewritten, and one line end', () => {
  const written = run(new FakeStream(true, 120));
  expect(written.match(/\n/g)).toHaveLength(1);
  const last = written.slice(written.lastIndexOf(ERASE) + ERASE.length).trimEnd();
  expect(last).toMatch(/^full {2}█+ {2}400\/400 {2}loss 1\.5000 {2}.* tokens\/s {2}3\/14 frozen {2}0:00 left$/);
});

test.each([200, 80, 60, 40, 20, 8, 1])('a terminal of %i columns is never overrun', (columns) => {
  const states = run(new FakeStream(true, columns), { end: false }).split(ERASE).slice(1);
  expect(states.length).toBeGreaterThan(10);
  for (const state of states) expect(state.length).toBeLessThan(Math.max(columns, 2));
});

test('a terminal that does not know its width is taken for 80 columns', () => {
  for (const columns of [undefined, 0]) {
    const states = run(new FakeStream(true, columns), { end: false }).split(ERASE);
    for (const state of states) expect(state.length).toBeLessThan(80);
  }
});

test('a line that stays stands above the bar, whole, and the bar comes back', () => {
  const written = run(new FakeStream(true, 100), { steps: 20, freezeAt: 10 });
  expect(written).toContain(`${ERASE}step 10: a matrix froze\n${ERASE}full  `);
  const plain = run(new FakeStream(false), { steps: 20, freezeAt: 10 });
  expect(plain.split('\n')[1]).toBe('step 10: a matrix froze');
});

test('ended early, as by Ctrl-C, the last state stays and nothing follows', () => {
  const stream = new FakeStream(true, 100);
  const progress = new Progress({ label: 'full', total: 9, stream, now: () => 0 });
  progress.update(1, [{ text: '1/9', importance: 1 }]);
  progress.update(2, [{ text: '2/9', importance: 1 }]);
  progress.end();
  expect(stream.written).toMatch(/2\/9 .*\n$/);
  const before = stream.written;
  progress.end();
  progress.update(3, [{ text: '3/9', importance: 1 }]);
  expect(stream.written).toBe(before);
  progress.line('after');
  expect(stream.written).toBe(`${before}after\n`);
});

test('a run that goes on takes its time left from the steps that it made itself', () => {
  const lines = run(new FakeStream(false), { doneBefore: 200 }).trimEnd().split('\n');
  expect(lines[0]).toContain('201/400');
  expect(lines[0]).toContain('0:10 left');
  expect(run(new FakeStream(true), { doneBefore: 0, steps: 0 })).toBe('');
});

test('a run that ends before its first step writes nothing', () => {
  expect(run(new FakeStream(true, 80), { steps: 0 })).toBe('');
});
