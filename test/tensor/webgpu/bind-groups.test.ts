import { expect, test } from 'vitest';
import { BindGroupCache } from '../../../src/tensor/webgpu/bind-groups.ts';

test('a buffer that goes takes its groups, and nothing of them stays with the other buffers', () => {
  const cache = new BindGroupCache<string>();
  for (let i = 1; i <= 5; i++) cache.set(`0 ${i}`, `group ${i}`, new Set([0, i]));
  cache.set('1 2', 'other', new Set([1, 2]));
  expect(cache.size).toEqual({ groups: 6, keys: 12 });
  cache.forget(1);
  expect([cache.get('0 1'), cache.get('1 2'), cache.get('0 2')]).toEqual([undefined, undefined, 'group 2']);
  expect(cache.size).toEqual({ groups: 4, keys: 8 });
  cache.forget(0);
  expect(cache.size).toEqual({ groups: 0, keys: 0 });
});

test('it is never larger than it may be', () => {
  const cache = new BindGroupCache<number>();
  for (let i = 0; i < 10_000; i++) cache.set(`${i}`, i, new Set([0]));
  expect(cache.size.groups).toBe(10_000 - 8192);
  expect(cache.get('9999')).toBe(9999);
});
