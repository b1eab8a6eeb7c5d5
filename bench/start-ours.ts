import { type Device, NoAdapterError, openDevice } from '../src/index.ts';
import { type MeasuredCase, send } from './child-report.ts';

/** How our measuring scripts begin and end; the arguments are <webgpu | cpu> <full | quick>. */
export async function startOurs(measure: (device: Device, quick: boolean) => Promise<MeasuredCase[]>): Promise<void> {
  const [kind, thoroughness] = process.argv.slice(2);
  try {
    const device = await openDevice(kind === 'cpu' ? 'cpu' : 'webgpu');
    const { adapter, software } = device;
    await send({ report: { adapter, software, cases: await measure(device, thoroughness === 'quick') } });
  } catch (error) {
    if (!(error instanceof NoAdapterError)) throw error;
    await send({ unavailable: error.message });
  }
  process.disconnect();
}
