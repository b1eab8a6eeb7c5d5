/** Bytes of all GPU buffers that JavaScript made and did not destroy, whoever made them: the same measure for every library. */
export interface BufferMeter {
  bytes: number;
  peak: number;
}

export function meterBuffers(): BufferMeter {
  const meter = { bytes: 0, peak: 0 };
  const device = prototypeOf('GPUDevice');
  const buffer = prototypeOf('GPUBuffer');
  const alive = new WeakMap<object, number>();
  const createBuffer = Reflect.get(device, 'createBuffer');
  const destroy = Reflect.get(buffer, 'destroy');
  if (typeof createBuffer !== 'function' || typeof destroy !== 'function')
    throw new Error('there is no WebGPU to meter');
  Reflect.set(device, 'createBuffer', function (this: object, descriptor: { size: number }) {
    const made: object = Reflect.apply(createBuffer, this, [descriptor]);
    alive.set(made, descriptor.size);
    meter.bytes += descriptor.size;
    meter.peak = Math.max(meter.peak, meter.bytes);
    return made;
  });
  Reflect.set(buffer, 'destroy', function (this: object) {
    meter.bytes -= alive.get(this) ?? 0;
    alive.delete(this);
    Reflect.apply(destroy, this, []);
  });
  return meter;
}

function prototypeOf(name: string): object {
  const found: unknown = Reflect.get(globalThis, name);
  if (typeof found !== 'function') throw new Error(`${name} is not there`);
  return found.prototype;
}
