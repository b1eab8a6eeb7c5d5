/** The webgpu device. */
import { BufferPool, type DeviceBuffer, type MemoryReport } from '../buffer-pool.ts';
import { countWork, type Device, type KernelCall, type KernelSet, type WorkReport } from '../device.ts';
import { bytesPerElement, type DType, type NumericArray } from '../dtype.ts';
import { DeviceError, DeviceLimitError, OutOfMemoryError } from '../errors.ts';
import { platform } from '../platform/platform.ts';
import { describeAdapter, findAdapter } from './adapter.ts';
import { BindGroupCache } from './bind-groups.ts';
import { type Pipeline, PipelineCache } from './pipelines.ts';

/** Known to browsers' types and to those of WebGPU: named here for programs that have neither. */
declare global {
  interface GPUDevice {}
}

/**
 * Steps that the device may still be working on when the next is recorded. None on a software adapter: it works on the cores
 * that record, and a step then takes longer (38 instead of 32 ms for the small GPT on two cores).
 */
const stepsInFlight = { hardware: 2, software: 0 } as const;
/**
 * Lanes with which the subgroup form of the product pays on a software adapter: llvmpipe computes 512 × 512 × 512 with 4, 8 and 16 lanes at 8.8,
 * 21 and 2.8 GFLOP/s, the plain form at 8.9, 4.4 and 6.5 (LP_NATIVE_VECTOR_WIDTH of 128, 256 and 512, two cores).
 */
const fastLanes = 8;

/** Limits whose defaults are lower than what adapters have. */
const wantedLimits = [
  'maxStorageBuffersPerShaderStage',
  'maxStorageBufferBindingSize',
  'maxBufferSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupsPerDimension',
  'minStorageBufferOffsetAlignment',
  'maxImmediateSize',
] as const satisfies readonly (keyof GPUSupportedLimits)[];
const wantedFeatures = ['subgroups', 'shader-f16'] as const satisfies readonly GPUFeatureName[];

export interface WebGpuOptions {
  /** Bytes the device may reserve; by default half of the machine's memory for a software adapter, else no bound. */
  memoryBudget?: number;
  /** Overrides the choice of kernels; `software-subgroups` only where the adapter has subgroups of one size. */
  kernelSet?: KernelSet;
  /** A device that the caller has already; by default one is asked for with all that its adapter offers. It stays the caller's. */
  gpu?: GPUDevice;
}

/**
 * Runs kernels on Dawn. Dispatches are recorded into one compute pass, which is submitted when a step ends, a value is
 * read, or an upload must come after what is recorded.
 */
export class WebGpuDevice implements Device {
  readonly kind = 'webgpu';
  readonly adapter: string;
  readonly software: boolean;
  readonly offsetAlignment: number;
  readonly kernelSet: KernelSet;
  readonly subgroupSize: number;
  readonly memoryBudget: number;
  readonly work: WorkReport = { dispatches: new Map(), totalDispatches: 0, flops: 0 };
  readonly gpu: GPUDevice;
  readonly #pipelines: PipelineCache;
  readonly #pool: BufferPool<GPUBuffer>;
  readonly #staging: BufferPool<GPUBuffer>;

  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  #boundPipeline: Pipeline | null = null;
  /** Buffers that the open encoder uses: an upload into one must wait for its submission. */
  readonly #recorded = new Set<number>();
  readonly #bindGroups = new BindGroupCache<GPUBindGroup>();
  readonly #inFlight: Promise<unknown>[] = [];
  #failure: Error | null = null;

  /** What a steady step should leave unchanged. */
  readonly made = { buffers: 0, bindGroups: 0, submissions: 0 };

  /** @throws NoAdapterError where there is no adapter to open; DeviceLimitError where it lacks what `kernelSet` needs. */
  static async open(options: WebGpuOptions = {}): Promise<WebGpuDevice> {
    if (options.gpu) {
      // For the constants, which Node lacks.
      await platform.loadGpu();
      return WebGpuDevice.#around(options.gpu, options.gpu.adapterInfo, options);
    }
    const { adapter } = await findAdapter();
    const requiredLimits: Record<string, number> = {};
    for (const limit of wantedLimits) requiredLimits[limit] = adapter.limits[limit];
    const requiredFeatures = wantedFeatures.filter((feature) => adapter.features.has(feature));
    const gpu = await adapter.requestDevice({ label: 'frostgrad', requiredLimits, requiredFeatures });
    return WebGpuDevice.#around(gpu, adapter.info, options);
  }

  static #around(gpu: GPUDevice, info: GPUAdapterInfo, options: WebGpuOptions): WebGpuDevice {
    const { software, name } = describeAdapter(info);
    const { subgroupMinSize, subgroupMaxSize } = info;
    const lanes = subgroupMinSize === subgroupMaxSize ? (subgroupMinSize ?? 0) : 0;
    const hasSubgroups = gpu.features.has('subgroups') && lanes >= 4 && lanes % 4 === 0;
    const softwareSet = hasSubgroups && lanes === fastLanes ? 'software-subgroups' : 'software';
    const kernelSet = options.kernelSet ?? (software ? softwareSet : 'hardware');
    const usesSubgroups = kernelSet === 'software-subgroups';
    if (usesSubgroups && !hasSubgroups) {
      throw new DeviceLimitError(`${name} has no subgroups of one fixed size, which kernelSet '${kernelSet}' needs`);
    }
    return new WebGpuDevice(gpu, { name, software, kernelSet, subgroupSize: usesSubgroups ? lanes : 0 }, options);
  }

  private constructor(
    gpu: GPUDevice,
    traits: { name: string; software: boolean; kernelSet: KernelSet; subgroupSize: number },
    options: WebGpuOptions,
  ) {
    this.gpu = gpu;
    const { software } = traits;
    this.adapter = traits.name;
    this.software = software;
    this.kernelSet = traits.kernelSet;
    this.subgroupSize = traits.subgroupSize;
    this.offsetAlignment = gpu.limits.minStorageBufferOffsetAlignment;
    this.#pipelines = new PipelineCache(gpu);
    const budget = options.memoryBudget ?? (software ? platform.totalMemory() / 2 : Number.POSITIVE_INFINITY);
    this.memoryBudget = budget;
    const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
    this.#pool = this.#bufferPool('tensor', STORAGE | COPY_SRC | COPY_DST, budget);
    this.#staging = this.#bufferPool('read-back', MAP_READ | COPY_DST, budget);
    gpu.addEventListener('uncapturederror', ({ error }) => {
      const isMemory = error instanceof GPUOutOfMemoryError;
      this.#fail(isMemory ? OutOfMemoryError : DeviceError, `the device reported: ${error.message}`);
    });
    gpu.lost.then(({ reason, message }) => this.#fail(DeviceError, `the device was lost (${reason}): ${message}`));
  }

  /** Pipelines compiled so far. */
  get pipelineCount(): number {
    return this.#pipelines.size;
  }

  supports(dtype: DType): boolean {
    return dtype === 'f16' ? this.gpu.features.has('shader-f16') : dtype !== 'f64';
  }

  allocate(byteLength: number, operation: string): DeviceBuffer {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.gpu.limits;
    const limit = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    if (byteLength > limit) {
      throw new DeviceLimitError(
        `${operation}: a tensor of ${byteLength} bytes exceeds what ${this.adapter} binds (${limit} bytes)`,
      );
    }
    return this.#pool.acquire(byteLength, operation);
  }

  recycle(buffer: DeviceBuffer): void {
    this.#pool.giveBack(buffer);
  }

  upload(buffer: DeviceBuffer, data: NumericArray): void {
    // Dawn applies a write before everything in the encoder that is submitted after it.
    if (this.#recorded.has(buffer.id)) this.#submit();
    this.gpu.queue.writeBuffer(this.#pool.resource(buffer), 0, data.buffer, data.byteOffset, data.byteLength);
  }

  async download(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    this.#throwFailure();
    const handle = this.#staging.acquire(byteLength, 'read-back');
    const staging = this.#staging.resource(handle);
    this.#endPass();
    this.#encoder ??= this.gpu.createCommandEncoder({ label: 'read-back' });
    this.#encoder.copyBufferToBuffer(this.#pool.resource(buffer), byteOffset, staging, 0, byteLength);
    this.#submit();
    try {
      await this.#wait(staging.mapAsync(GPUMapMode.READ, 0, Math.ceil(byteLength / 4) * 4));
      const bytes = staging.getMappedRange(0, Math.ceil(byteLength / 4) * 4).slice(0, byteLength);
      staging.unmap();
      this.#throwFailure();
      return bytes;
    } catch (cause) {
      this.#throwFailure();
      throw new DeviceError('a value could not be read back', { cause });
    } finally {
      this.#staging.giveBack(handle);
    }
  }

  run({ kernel, operands, scalars, workgroups, flops }: KernelCall): void {
    const pipeline = this.#pipelines.get(kernel, operands);
    const limit = this.gpu.limits.maxComputeWorkgroupsPerDimension;
    if (Math.max(...workgroups) > limit) {
      throw new DeviceLimitError(`${kernel.name}: ${workgroups.join(' x ')} workgroups, but the device takes ${limit}`);
    }
    let key = pipeline.layoutKey;
    for (let i = 0; i < operands.length; i++) {
      const { storage, offset } = operands[i];
      this.#recorded.add(storage.buffer.id);
      key += kernel.accesses[i] === 'strided' ? `,${storage.buffer.id}` : `,${storage.buffer.id}:${offset}`;
    }
    if (!this.#pass) {
      this.#encoder ??= this.gpu.createCommandEncoder({ label: 'step' });
      this.#pass = this.#encoder.beginComputePass({ label: 'step' });
      this.#boundPipeline = null;
    }
    if (this.#boundPipeline !== pipeline) {
      this.#pass.setPipeline(pipeline.pipeline);
      this.#boundPipeline = pipeline;
    }
    this.#pass.setBindGroup(0, this.#bindGroups.get(key) ?? this.#makeBindGroup(key, pipeline, kernel, operands));
    this.#pass.setImmediates(0, pipeline.packScalars(scalars));
    this.#pass.dispatchWorkgroups(...workgroups);
    countWork(this.work, kernel.name, flops);
  }

  async finishStep(): Promise<void> {
    this.#submit();
    this.#inFlight.push(this.gpu.queue.onSubmittedWorkDone());
    await platform.eventLoopTurn();
    const most = this.software ? stepsInFlight.software : stepsInFlight.hardware;
    while (this.#inFlight.length > most) await this.#wait(this.#inFlight[0]).then(() => this.#inFlight.shift());
    this.#throwFailure();
  }

  async synchronize(): Promise<void> {
    this.#submit();
    this.#inFlight.length = 0;
    await this.#wait(this.gpu.queue.onSubmittedWorkDone());
    this.#throwFailure();
  }

  memory(): MemoryReport {
    const tensors = this.#pool.report();
    const staging = this.#staging.report();
    return {
      ...tensors,
      reservedBuffers: tensors.reservedBuffers + staging.reservedBuffers,
      reservedBytes: tensors.reservedBytes + staging.reservedBytes,
    };
  }

  resetPeak(): void {
    this.#pool.resetPeak();
  }

  trim(): void {
    // Destroying a buffer that an unsubmitted encoder uses would drop the whole submission.
    this.#submit();
    this.#pool.trim();
    this.#staging.trim();
  }

  #bufferPool(label: string, usage: GPUBufferUsageFlags, budget: number): BufferPool<GPUBuffer> {
    return new BufferPool<GPUBuffer>({
      create: (size, id, operation) => {
        this.made.buffers++;
        return this.gpu.createBuffer({ label: `${label} ${id} of ${operation}`, size, usage });
      },
      destroy: (buffer, id) => {
        if (label === 'tensor') this.#bindGroups.forget(id);
        buffer.destroy();
      },
      budget,
      reclaim: () => this.trim(),
    });
  }

  #makeBindGroup(
    key: string,
    pipeline: Pipeline,
    kernel: KernelCall['kernel'],
    operands: KernelCall['operands'],
  ): GPUBindGroup {
    const group = this.gpu.createBindGroup({
      label: key,
      layout: pipeline.layout,
      entries: operands.map((operand, binding) => ({
        binding,
        resource: {
          buffer: this.#pool.resource(operand.storage.buffer),
          offset: kernel.accesses[binding] === 'strided' ? 0 : operand.offset * bytesPerElement[operand.dtype],
        },
      })),
    });
    this.made.bindGroups++;
    this.#bindGroups.set(key, group, new Set(operands.map(({ storage }) => storage.buffer.id)));
    return group;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = null;
  }

  #submit(): void {
    if (!this.#encoder) return;
    this.#endPass();
    this.gpu.queue.submit([this.#encoder.finish()]);
    this.made.submissions++;
    this.#encoder = null;
    this.#recorded.clear();
  }

  #wait<T>(pending: Promise<T>): Promise<T> {
    return this.software ? platform.politely(pending) : pending;
  }

  /** The first failure is the one to tell: others follow from it. */
  #fail(kind: typeof DeviceError | typeof OutOfMemoryError, message: string): void {
    const { liveBytes, reservedBytes } = this.memory();
    this.#failure ??= new kind(`${message.trimEnd()} (tensors hold ${liveBytes} bytes, ${reservedBytes} are reserved)`);
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure;
  }
}
