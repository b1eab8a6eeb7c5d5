/** What every page says about the rule before it shows a number. */

export const gradesInWords =
  'GradES watches the gradient of every weight matrix during training and freezes a matrix once its gradient says that it ' +
  'has converged; the others train on (arXiv 2509.01842). When all of them are frozen training ends, without a validation set.';

export const splitHalfInWords =
  'The split-half signal ρ compares the gradients of the two halves of each batch: what both agree on is still to be ' +
  'learned, and where they share nothing but chance only noise is left. It is averaged over some steps and drawn as a ' +
  'share of its own peak, so that it falls from 1 towards 0 as a matrix converges.';
