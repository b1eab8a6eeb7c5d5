/** Input data that cannot be used. The message names the folder, file or class, what came and what is allowed. */
export class DatasetError extends Error {
  override readonly name = 'DatasetError';
}
