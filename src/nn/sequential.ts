/** Layers one after the other. */
import { ArgumentError } from '../tensor/errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Module } from './module.ts';

/** A module of one tensor, or a function such as `relu`. */
export type Layer = Module | ((x: Tensor) => Tensor);

/** Hands its input through the layers in turn: `new Sequential(new Linear(…), relu, new Linear(…))`. They are named `layers.0`, `layers.1`, … */
export class Sequential extends Module {
  readonly layers: readonly Layer[];

  /** @throws ArgumentError for what is neither a module nor a function. */
  constructor(...layers: readonly Layer[]) {
    super();
    const stranger = layers.findIndex((layer) => !(layer instanceof Module || typeof layer === 'function'));
    if (stranger >= 0) {
      throw new ArgumentError(
        `Sequential: layer ${stranger} is ${typeof layers[stranger]} (allowed: modules, and functions of a tensor)`,
      );
    }
    this.layers = layers;
  }

  forward(x: Tensor): Tensor {
    return this.layers.reduce((value, layer) => (layer instanceof Module ? layer.call(value) : layer(value)), x);
  }
}
