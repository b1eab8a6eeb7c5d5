/** The gradient that a backward pass leaves in a leaf, whole or in halves. */
import { noteGradient } from '../tensor/debug.ts';
import { BackwardError } from '../tensor/errors.ts';
import { currentStep, inStep, scope } from '../tensor/scope.ts';
import { sizeOf } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { LeafNode } from './node.ts';
import { accumulate } from './operations/accumulate.ts';
import { add } from './operations/pointwise/pointwise.ts';
import { noGrad } from './record.ts';

/**
 * The gradient the last backward pass left in a leaf; null before it, and after the step it belonged to. Where it came in
 * halves it is summed when somebody asks: an optimizer does not, because its statistics sum the halves as they pass.
 */
export function gradientOf(tensor: Tensor): Tensor | null {
  const leaf = tensor.node;
  if (!(leaf instanceof LeafNode) || leaf.step !== currentStep()) return null;
  return wholeGradient(leaf);
}

/** Whether a backward pass has left a gradient in this step. */
export function hasGradient(tensor: Tensor): boolean {
  const leaf = tensor.node;
  return leaf instanceof LeafNode && leaf.step === currentStep() && holdsGradient(leaf);
}

/** Whether a backward pass of this step has left a gradient that a later one, which failed, has taken away. */
export function hasLostGradient({ node: leaf }: Tensor): boolean {
  return leaf instanceof LeafNode && leaf.step === currentStep() && leaf.isLost;
}

/** Undoes a pass that failed half-way: half of a gradient must not be taken for one. `begun` tells who had one before. */
export function loseGradients(leaves: readonly LeafNode[], begun: ReadonlySet<LeafNode>): void {
  for (const leaf of leaves) {
    dropGradient(leaf, 'the backward pass failed');
    leaf.isLost = begun.has(leaf);
  }
}

/** Those that hold a gradient, or have lost one, in this step. */
export function withGradient(leaves: readonly LeafNode[]): Set<LeafNode> {
  return new Set(leaves.filter((leaf) => leaf.step === currentStep() && (holdsGradient(leaf) || leaf.isLost)));
}

function holdsGradient(leaf: LeafNode): boolean {
  return usable(leaf.gradient) !== null || usable(leaf.halves) !== null;
}

/**
 * The gradient in two halves, (2, …shape), where that was asked for and every part of it came so; else null. They last
 * until an optimizer steps, which writes their sum over the first.
 */
export function halvesOf(tensor: Tensor): Tensor | null {
  const leaf = tensor.node;
  if (!(leaf instanceof LeafNode) || leaf.step !== currentStep()) return null;
  return usable(leaf.halves);
}

/** To be called by whoever wrote the sum of the halves over the first of them: that is the gradient from here on, which it returns. */
export function halvesWereSummed({ node: leaf }: Tensor, halves: Tensor): Tensor {
  const whole = inStep(() => half(halves, 0));
  if (leaf instanceof LeafNode) {
    leaf.gradient = whole;
    leaf.halves = null;
  }
  return whole;
}

/** Adds a contribution, which it takes over, to the gradient of a leaf in the step that is open. */
export function addToLeaf(leaf: LeafNode, contribution: Tensor, isHalves: boolean): void {
  noteGradient(contribution, leaf.name);
  contribute(leaf, contribution, isHalves);
  const gradient = leaf.halves ?? leaf.gradient;
  if (gradient && gradient !== contribution) noteGradient(gradient, leaf.name);
}

function contribute(leaf: LeafNode, contribution: Tensor, isHalves: boolean): void {
  const isOfThisStep = leaf.step === currentStep();
  const begun = isOfThisStep && holdsGradient(leaf);
  if (!begun) {
    leaf.isDropped ||= !isOfThisStep && leaf.use === 'none' && (leaf.gradient ?? leaf.halves) !== null;
    // What an earlier step left is somebody else's now (kept by name, say), and is not added to.
    leaf.step = currentStep();
    leaf.gradient = null;
    leaf.halves = null;
    // Another pass over the rest does not bring back what was lost in this step.
    leaf.isLost &&= isOfThisStep;
    leaf.use = 'none';
  }
  if (leaf.use === 'done') {
    throw new BackwardError(
      `backward: the gradient of ${leaf.name} was used by an optimizer already and would be added to. Put each step of ` +
        'training in step(), or call optimizer.zeroGradients() before the next backward pass',
    );
  }
  if (isHalves && (!begun || usable(leaf.halves))) {
    leaf.halves = accumulate(usable(leaf.halves) ?? undefined, contribution);
    // A sum that somebody asked for between two contributions is out of date.
    leaf.gradient = null;
    return;
  }
  // A part came whole, so that there are no halves of the gradient as a whole.
  const whole = isHalves ? scope('gradient', () => sumOfHalves(contribution)) : contribution;
  leaf.gradient = accumulate(wholeGradient(leaf) ?? undefined, whole);
  leaf.halves = null;
}

function wholeGradient(leaf: LeafNode): Tensor | null {
  const halves = usable(leaf.halves);
  if (halves && !usable(leaf.gradient)) leaf.gradient = inStep(() => noGrad(() => sumOfHalves(halves)));
  return usable(leaf.gradient);
}

function sumOfHalves(halves: Tensor): Tensor {
  return scope('gradient', () => add(half(halves, 0), half(halves, 1)));
}

function half(halves: Tensor, index: 0 | 1): Tensor {
  const shape = halves.shape.slice(1);
  return halves.view({ shape, offset: halves.offset + index * sizeOf(shape) }, 'gradient');
}

function usable(gradient: Tensor | null): Tensor | null {
  return gradient && !gradient.isReleased ? gradient : null;
}

/** Releases the gradient of a leaf. */
export function dropGradient(leaf: LeafNode, reason: string): void {
  for (const gradient of [leaf.gradient, leaf.halves]) if (gradient && !gradient.isReleased) gradient.release(reason);
  leaf.gradient = null;
  leaf.halves = null;
  leaf.use = 'none';
  leaf.isLost = false;
  leaf.isDropped = false;
}
