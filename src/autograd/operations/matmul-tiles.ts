import type { Device } from '../../tensor/device.ts';

/** Tile of the result that a workgroup computes, step along k, and the part of the tile that one thread computes. */
export interface Tile {
  m: number;
  n: number;
  k: number;
  threadM: number;
  threadN: number;
}

/**
 * Which tile a product runs with, by kind of adapter. Static, so that a seed gives the same bits on every run; a tile is
 * a pipeline, and a big one takes a software adapter half a second to compile, so there are few.
 */
const tiles = {
  software: { m: 32, n: 32, k: 32, threadM: 8, threadN: 8 },
  hardware: { m: 64, n: 64, k: 16, threadM: 8, threadN: 4 },
} as const satisfies Record<string, Tile>;

export function chooseTile(device: Device, _m: number, _n: number, _k: number, _batch: number): Tile {
  return device.software ? tiles.software : tiles.hardware;
}
