/** The transformer once more, in float64 over nested arrays, written from the papers' formulas. */
import type { StateDict, TransformerConfig } from '../../src/index.ts';

export type Matrix = number[][];

export const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const plus = (a: Matrix, b: Matrix): Matrix => a.map((row, t) => row.map((value, i) => value + b[t][i]));
const columns = (w: Matrix): Matrix => w[0].map((_, column) => w.map((row) => row[column]));

export function product(x: Matrix, w: Matrix): Matrix {
  const transposed = columns(w);
  return x.map((row) => transposed.map((column) => dot(row, column)));
}

export function rms(row: readonly number[], gain: readonly number[], epsilon = 1e-6): number[] {
  const root = Math.sqrt(dot(row, row) / row.length + epsilon);
  return row.map((value, i) => (value / root) * gain[i]);
}

export function layer(row: readonly number[], gain: readonly number[], epsilon = 1e-5): number[] {
  const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
  const centered = row.map((value) => value - mean);
  const root = Math.sqrt(dot(centered, centered) / row.length + epsilon);
  return centered.map((value, i) => (value / root) * gain[i]);
}

/** Elements i and i + half turn by position · 10000^(-i / half). */
function turn(head: readonly number[], position: number): number[] {
  const half = head.length / 2;
  return head.map((value, i) => {
    const angle = position * 10000 ** (-(i % half) / half);
    const other = i < half ? -head[i + half] : head[i - half];
    return value * Math.cos(angle) + other * Math.sin(angle);
  });
}

const silu = (x: number) => x / (1 + Math.exp(-x));
const gelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** Logits of one row of tokens, (time, outputs); one row of them for a classifier. */
export function plainLogits(
  config: TransformerConfig,
  state: StateDict,
  tokens: readonly number[],
  length = tokens.length,
): Matrix {
  const { heads, causal = true, normalization = 'rms', positions = 'rotary', feedForward = 'swiglu' } = config;
  const vector = (name: string) => Array.from(state[name].data);
  const matrix = (name: string): Matrix => {
    const [rows, width] = state[name].shape;
    const all = vector(name);
    return Array.from({ length: rows }, (_, row) => all.slice(row * width, (row + 1) * width));
  };
  const norm = (x: Matrix, name: string) =>
    x.map((row) => (normalization === 'rms' ? rms : layer)(row, vector(`${name}.gain`)));

  const attend = (x: Matrix, name: string): Matrix => {
    const size = config.width / heads;
    const [q, k, v] = ['query', 'key', 'value'].map((part) => product(x, matrix(`${name}.${part}.weight`)));
    const mixed = x.map((_, t) => {
      const row: number[] = [];
      for (let head = 0; head < heads; head++) {
        const part = (all: Matrix, at: number) => all[at].slice(head * size, (head + 1) * size);
        const turned = (all: Matrix, at: number) => (positions === 'rotary' ? turn(part(all, at), at) : part(all, at));
        const end = Math.min(length, causal ? t + 1 : x.length);
        const weights = Array.from({ length: end }, (_, s) =>
          Math.exp(dot(turned(q, t), turned(k, s)) / Math.sqrt(size)),
        );
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let d = 0; d < size; d++) {
          row.push(weights.reduce((sum, weight, s) => sum + (weight / total) * part(v, s)[d], 0));
        }
      }
      return row;
    });
    return product(mixed, matrix(`${name}.output.weight`));
  };

  const feed = (x: Matrix, name: string): Matrix => {
    const up = product(x, matrix(`${name}.up.weight`));
    const gate = feedForward === 'swiglu' ? product(x, matrix(`${name}.gate.weight`)) : up;
    const act = (value: number) => {
      if (feedForward === 'gelu') return gelu(value);
      return Math.max(0, value);
    };
    const hidden = up.map((row, t) =>
      row.map((value, i) => (feedForward === 'swiglu' ? silu(gate[t][i]) * value : act(value))),
    );
    return product(hidden, matrix(`${name}.down.weight`));
  };

  const table = matrix('tokens.table');
  let x = tokens.map((token) => table[token]);
  if (positions !== 'rotary') x = plus(x, matrix('positions.table').slice(0, tokens.length));
  for (let block = 0; block < config.blocks; block++) {
    const name = `blocks.${block}`;
    x = plus(x, attend(norm(x, `${name}.attentionNorm`), `${name}.attention`));
    x = plus(x, feed(norm(x, `${name}.feedForwardNorm`), `${name}.feedForward`));
  }
  const normalized = norm(x, 'norm');
  if (config.head === 'language-model') return product(normalized, matrix('head.weight'));
  const mean = columns(normalized).map((column) => column.reduce((sum, value) => sum + value, 0) / column.length);
  return product([mean], matrix('head.weight'));
}
