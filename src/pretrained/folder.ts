/** Files of a Hugging Face folder as JSON. */
import { readFile } from 'node:fs/promises';
import { FileFormatError } from '../tensor/errors.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The JSON object in a file; null where there is no such file. @throws FileFormatError for anything else in it. */
export async function readJsonFile(path: string): Promise<JsonObject | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (isMissing(cause)) return null;
    throw new FileFormatError(`${path}: cannot be read`, { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new FileFormatError(`${path}: is no JSON`, { cause });
  }
  if (isObject(value)) return value;
  throw new FileFormatError(`${path}: is not the JSON of an object`);
}

/** Whether an error says that a file is not there. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}
