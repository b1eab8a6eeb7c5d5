/** Files of a Hugging Face folder as JSON. */
import { FileFormatError } from '../tensor/errors.ts';
import { platform } from '../tensor/platform/platform.ts';

/** Characters of a value that a message shows. */
const longestShown = 200;

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The JSON object in a file; null where there is no such file. @throws FileFormatError for anything else in it. */
export async function readJsonFile(path: string): Promise<JsonObject | null> {
  const text = await readTextFile(path);
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new FileFormatError(`${path}: is no JSON`, { cause });
  }
  if (isObject(value)) return value;
  throw new FileFormatError(`${path}: is not the JSON of an object`);
}

/** A value of a file as a message shows it, however long and deep it is. */
export function shown(value: unknown): string {
  try {
    const text = JSON.stringify(value) ?? 'missing';
    return text.length <= longestShown ? text : `${text.slice(0, longestShown)} …`;
  } catch {
    return 'nested too deep';
  }
}

/** Writes a value as JSON, indented. */
export async function writeJsonFile(path: string, value: JsonObject): Promise<void> {
  const text = `${JSON.stringify(value, null, 2)}\n`;
  await platform.files.write(path, (write) => write(new TextEncoder().encode(text)));
}

/** The text in a file; null where there is no such file. @throws FileFormatError where it cannot be read. */
export async function readTextFile(path: string): Promise<string | null> {
  try {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(await platform.files.read(path));
  } catch (cause) {
    if (isMissing(cause)) return null;
    throw new FileFormatError(`${path}: cannot be read`, { cause });
  }
}

/** Whether an error says that a file is not there. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}
