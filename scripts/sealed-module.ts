/** WebAssembly modules that end with the hash of what they hold, so that one that was cut short or changed is known. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';

/** Whether a module is there as it was built: its last section holds the hash of all before it. */
export function isWhole(path: string): boolean {
  if (!existsSync(path)) return false;
  const bytes = readFileSync(path);
  const code = bytes.subarray(0, Math.max(0, bytes.length - seal(bytes).length));
  return bytes.subarray(code.length).equals(seal(code));
}

export function seal(code: Uint8Array): Uint8Array {
  return customSection('sha256', createHash('sha256').update(code).digest('hex'));
}

/** A section that WebAssembly hands to the host as it is (core specification, 5.5.3). */
export function customSection(name: string, content: string): Uint8Array {
  const text = (value: string) => [...leb128(Buffer.byteLength(value)), ...Buffer.from(value)];
  const body = [...text(name), ...Buffer.from(content)];
  return Uint8Array.from([0, ...leb128(body.length), ...body]);
}

function leb128(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb128(value >>> 7)];
}
