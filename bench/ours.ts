// Measures one part of a suite in a process of its own: ours.ts <suite> <part> <webgpu | cpu> <full | quick>

import { NoAdapterError, openDevice } from '../src/index.ts';
import { send } from './child-report.ts';
import { isSuiteName, loadSuite } from './suites.ts';

const [name, part, kind, thoroughness] = process.argv.slice(2);
if (!isSuiteName(name)) throw new Error(`there is no suite ${name}`);
const suite = await loadSuite(name);

try {
  const device = await openDevice(kind === 'cpu' ? 'cpu' : 'webgpu');
  const cases = await suite.parts[part].measure(device, thoroughness === 'quick');
  await send({ report: { adapter: device.adapter, software: device.software, cases } });
} catch (error) {
  if (!(error instanceof NoAdapterError)) throw error;
  await send({ unavailable: error.message });
}
process.disconnect();
