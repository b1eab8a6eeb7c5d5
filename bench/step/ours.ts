// Measures frostgrad in a process of its own, which suite.ts starts: ours.ts <webgpu | cpu> <cold | warm> <full | quick>

import { NoAdapterError, openDevice } from '../../src/index.ts';
import { send } from '../child-report.ts';
import { measureCold, measureWarm } from './measure-ours.ts';

const [kind, temperature, thoroughness] = process.argv.slice(2);

try {
  const device = await openDevice(kind === 'cpu' ? 'cpu' : 'webgpu');
  const { adapter, software } = device;
  if (temperature === 'cold') await send({ report: { adapter, software, cases: [await measureCold(device)] } });
  else await send({ report: { adapter, software, ...(await measureWarm(device, thoroughness === 'quick')) } });
} catch (error) {
  if (!(error instanceof NoAdapterError)) throw error;
  await send({ unavailable: error.message });
}
process.disconnect();
