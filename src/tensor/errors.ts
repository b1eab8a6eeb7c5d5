/**
 * Every error of the library is a subclass of {@link FrostgradError}, so that a script can tell bad input from a defect.
 * Messages name the operation, the parameter, the value that came and the value that is allowed.
 */
export class FrostgradError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Shapes that do not fit the operation, or each other. */
export class ShapeError extends FrostgradError {}

/** A dtype that the operation or the device does not take. */
export class DTypeError extends FrostgradError {}

/** Operands that live on different devices. */
export class DeviceMismatchError extends FrostgradError {}

/** An argument outside its range: a token, a class, a learning rate, an axis. */
export class ArgumentError extends FrostgradError {}

/** A tensor used after its buffer went back to the pool. */
export class ReleasedTensorError extends FrostgradError {}

/** A step opened inside another one. */
export class StepError extends FrostgradError {}

/** The device cannot serve what a shape needs: a binding, workgroup memory, a workgroup count. */
export class DeviceLimitError extends FrostgradError {}

/** The byte budget of a device would be exceeded. */
export class OutOfMemoryError extends FrostgradError {}

/** The device was lost, or reported an error some time after the call that caused it. */
export class DeviceError extends FrostgradError {}

/** No adapter that can run the kernels was found. */
export class NoAdapterError extends FrostgradError {}

/** A kernel whose declaration, texts and calls do not agree on its operands and scalars. */
export class KernelError extends FrostgradError {}

/** A file that is not of the format it should be of, or cut short. */
export class FileFormatError extends FrostgradError {}

/** A pretrained model of a family, or with an option, that the library does not have. */
export class UnsupportedModelError extends FrostgradError {}

/** A chat that its template refuses, or a template that cannot be rendered. */
export class ChatTemplateError extends FrostgradError {}

/** A file or folder cannot be written: the disk is full, or it is not allowed. What stood there before still does. */
export class FileWriteError extends FrostgradError {}

/** The graph cannot be walked backwards: nothing in it is live, or it was walked before. */
export class BackwardError extends FrostgradError {}

/** An operation made NaN or infinite values out of finite ones; looked for under FROSTGRAD_DEBUG=1. */
export class NonFiniteValueError extends FrostgradError {
  readonly operation: string;

  constructor(message: string, operation: string) {
    super(message);
    this.operation = operation;
  }
}

/** A gradient became NaN or infinite. The parameters keep the values they had before that step. */
export class NonFiniteGradientError extends FrostgradError {
  readonly parameter: string;
  readonly step: number;

  constructor(parameter: string, step: number) {
    super(
      `the gradient of ${parameter} became NaN or infinite in step ${step}; no parameter was changed in that step or ` +
        'after it. A lower learning rate, a longer warm-up or gradient clipping usually helps; FROSTGRAD_DEBUG=1 names the ' +
        'operation where it began.',
    );
    this.parameter = parameter;
    this.step = step;
  }
}
