/** The thread that trains: carries out the commands of the page between two steps, and tells it what the engine tells. */
import { ArgumentError, type Device, FrostgradError, NonFiniteGradientError, openDevice } from '../src/index.ts';
import { Engine } from './engine.ts';
import type { Command, DeviceName, Message } from './protocol.ts';

/** Milliseconds between two parcels of messages: a page draws no more often. */
const betweenParcels = 16;

const commands: Command[] = [];
let wake = () => {};
let parcel: Message[] = [];

let device: Device | null = null;
let engine: Engine | null = null;
let isPaused = true;
let stepsPerSecond: number | null = null;
/** When the next step may begin. */
let due = 0;

function emit(message: Message): void {
  if (parcel.length === 0) setTimeout(send, betweenParcels);
  parcel.push(message);
}

function send(): void {
  postMessage(parcel);
  parcel = [];
}

self.onmessage = ({ data }: MessageEvent<Command>) => {
  commands.push(data);
  wake();
};

/** Until a command comes, or so many milliseconds. */
function wait(milliseconds: number | null): Promise<void> {
  if (commands.length > 0) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = milliseconds === null ? null : setTimeout(resolve, milliseconds);
    wake = () => {
      if (timer !== null) clearTimeout(timer);
      resolve();
    };
  });
}

function pause(paused: boolean): void {
  isPaused = paused;
  due = 0;
  emit({ type: 'paused', paused });
}

/** Also tells which it is, and why. */
async function open(kind: DeviceName): Promise<Device> {
  let reason = crossOriginIsolated
    ? 'You chose the processor: for a model this small it is mostly the faster one.'
    : 'It runs on one thread: this server does not send the headers that pages need to share memory.';
  if (kind === 'webgpu') {
    try {
      const opened = await openDevice('webgpu');
      reason = opened.software
        ? 'You chose WebGPU, but this browser computes it on the processor: a graphics card would be faster.'
        : 'You chose WebGPU. A model this small keeps a graphics card waiting for its next order most of the time.';
      tellDevice(opened, reason);
      return opened;
    } catch (error) {
      reason = `You chose WebGPU, which cannot be had here: ${textOf(error)}.`;
      emit({ type: 'notice', text: `${reason} The processor trains instead.` });
    }
  }
  // The same bits in every browser and in Node: other forms round otherwise.
  const opened = await openDevice('cpu', { form: 'plain' });
  tellDevice(opened, reason);
  return opened;
}

function tellDevice({ kind, adapter, software }: Device, reason: string): void {
  emit({ type: 'device', device: { kind, adapter, software, reason } });
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function carryOut(command: Command): Promise<void> {
  switch (command.type) {
    case 'start': {
      engine?.release();
      engine = null;
      if (device?.kind !== command.settings.device) device = await open(command.settings.device);
      engine = new Engine(device, command.settings, command.data, emit);
      await engine.begin();
      return pause(false);
    }
    case 'pause':
      return pause(true);
    case 'resume':
      return pause(false);
    case 'step':
      pause(true);
      if (engine && !engine.finished) await engine.advance();
      return;
    case 'speed':
      stepsPerSecond = command.stepsPerSecond;
      due = 0;
      return;
    case 'freeze':
      return engine?.freeze(command.matrix);
    case 'thaw':
      return engine?.thaw(command.matrix);
    case 'rule':
      return engine?.changeRule(command.rule);
    case 'restore':
      return engine?.restore(command.step);
    case 'attention':
      return engine?.lookAt(command.look);
  }
}

/** What was asked for wrongly is told, and training goes on; a lost device is replaced; anything else ends the run. */
async function attempt(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof ArgumentError && engine) return emit({ type: 'notice', text: textOf(error) });
    const isOfRun = error instanceof NonFiniteGradientError;
    if (device?.kind === 'webgpu' && engine && !isOfRun) return replaceDevice(error, engine);
    if (!(error instanceof FrostgradError)) console.error(error);
    // Another try gets another one.
    if (!(error instanceof ArgumentError)) device = null;
    emit({ type: 'error', text: textOf(error) });
    pause(true);
  }
}

async function replaceDevice(error: unknown, running: Engine): Promise<void> {
  emit({ type: 'notice', text: `WebGPU failed (${textOf(error)}). The processor goes on from the last checkpoint.` });
  device = await openDevice('cpu', { form: 'plain' });
  tellDevice(device, 'WebGPU was lost on the way.');
  await running.moveTo(device);
}

async function work(): Promise<never> {
  for (;;) {
    const command = commands.shift();
    if (command) {
      await attempt(() => carryOut(command));
      continue;
    }
    const running = !isPaused && engine && !engine.finished ? engine : null;
    const now = performance.now();
    if (!running || now < due) await wait(running ? due - now : null);
    else {
      due = stepsPerSecond === null ? 0 : Math.max(now, due + 1000 / stepsPerSecond);
      await attempt(() => running.advance());
    }
  }
}

work();
