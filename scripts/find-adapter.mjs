// Is there a WebGPU adapter that works? Asked in a child process, because a broken driver can crash or hang the one asking.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const repositoryRoot = fileURLToPath(new URL('..', import.meta.url));
const timeLimit = 20_000;
const marker = 'frostgrad-adapter:';

// The instance has to stay reachable: the process dies when it is collected before its device.
const probe = `
import { create } from 'webgpu';
globalThis.instance = create([]);
const adapter = await globalThis.instance.requestAdapter();
if (adapter) {
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const gpu = await adapter.requestDevice();
  gpu.destroy();
  console.log('\\n${marker}' + JSON.stringify({ vendor, architecture, device, description, isFallbackAdapter }));
}
`;

/**
 * @typedef {{ vendor: string, architecture: string, device: string, description: string, isFallbackAdapter: boolean }} AdapterInfo
 * @returns {AdapterInfo | null}
 */
export function findAdapter() {
  const child = spawnSync(process.execPath, ['--input-type=module', '--eval', probe], {
    cwd: repositoryRoot,
    encoding: 'utf8',
    timeout: timeLimit,
    killSignal: 'SIGKILL',
  });
  // Dawn writes its own warnings to the same streams.
  const answer = (child.stdout ?? '').split('\n').find((line) => line.startsWith(marker));
  return answer ? JSON.parse(answer.slice(marker.length)) : null;
}

/** @param {AdapterInfo} adapter */
export function describeAdapter(adapter) {
  const name = adapter.description || [adapter.vendor, adapter.device].filter(Boolean).join(' ') || 'unnamed';
  return `${name}${adapter.isFallbackAdapter ? ' (software: runs on the CPU)' : ''}`;
}
