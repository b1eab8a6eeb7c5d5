import { readFileSync } from 'node:fs';
import { DeviceLimitError, FrostgradError } from '../errors.ts';
import { getOrCreate } from '../get-or-create.ts';
import type { Kernel } from '../kernel.ts';

const kernelFolder = new URL('../../../kernels/', import.meta.url);
const maxScalars = 16;

/** A kernel ready to be encoded. */
export interface Pipeline {
  pipeline: GPUComputePipeline;
  layout: GPUBindGroupLayout;
  /** Distinguishes the bind groups of different layouts. */
  layoutKey: string;
  /** Writes the scalars, in order, as the bytes that `setImmediates` takes. */
  packScalars(values: Readonly<Record<string, number>>): Uint8Array<ArrayBuffer>;
}

interface Layout {
  key: string;
  group: GPUBindGroupLayout;
}

/** Makes one pipeline for each kernel, at its first dispatch, and one layout for each pattern of operands. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #pipelines = new Map<Kernel, Pipeline>();
  readonly #layouts = new Map<string, Layout>();
  readonly #files = new Map<string, string>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  get size(): number {
    return this.#pipelines.size;
  }

  get(kernel: Kernel): Pipeline {
    return getOrCreate(this.#pipelines, kernel, () => this.#compile(kernel));
  }

  #compile(kernel: Kernel): Pipeline {
    const names = Object.keys(kernel.scalars);
    const types = Object.values(kernel.scalars);
    if (names.length > maxScalars) throw new FrostgradError(`${kernel.name}: more than ${maxScalars} scalars`);
    const layout = this.#layout(kernel);
    const code = this.#source(kernel);
    const module = this.#device.createShaderModule({ label: kernel.name, code });
    const pipeline = this.#device.createComputePipeline({
      label: kernel.name,
      layout: this.#device.createPipelineLayout({
        label: kernel.name,
        bindGroupLayouts: [layout.group],
        immediateSize: names.length * 4,
      }),
      compute: { module, entryPoint: kernel.wgsl.entry ?? 'main' },
    });
    const words = new DataView(new ArrayBuffer(names.length * 4));
    const bytes = new Uint8Array(words.buffer);
    return {
      pipeline,
      layout: layout.group,
      layoutKey: layout.key,
      packScalars(values) {
        for (let i = 0; i < names.length; i++) {
          const value = values[names[i]];
          if (types[i] === 'f32') words.setFloat32(i * 4, value, true);
          else words.setInt32(i * 4, value, true);
        }
        return bytes;
      },
    };
  }

  #layout(kernel: Kernel): Layout {
    const limit = this.#device.limits.maxStorageBuffersPerShaderStage;
    if (kernel.operands.length > limit) {
      throw new DeviceLimitError(`${kernel.name}: ${kernel.operands.length} buffers, but the device binds ${limit}`);
    }
    const readOnly = kernel.operands.map((access) => access === 'read' || access === 'strided');
    const key = readOnly.map((only) => (only ? 'r' : 'w')).join('');
    return getOrCreate(this.#layouts, key, () => {
      const entries = readOnly.map((only, binding): GPUBindGroupLayoutEntry => {
        return {
          binding,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: only ? 'read-only-storage' : 'storage' },
        };
      });
      return { key, group: this.#device.createBindGroupLayout({ label: key, entries }) };
    });
  }

  #source({ wgsl }: Kernel): string {
    const path = new URL(`${wgsl.file}.wgsl`, kernelFolder);
    const file = getOrCreate(this.#files, wgsl.file, () => readFileSync(path, 'utf8'));
    const constants = Object.entries(wgsl.constants ?? {}).map(([name, value]) => `const ${name} = ${value};\n`);
    const enable = wgsl.subgroups ? 'enable subgroups;\n' : '';
    return `${enable}requires immediate_address_space;\n${constants.join('')}${file}\n${wgsl.functions ?? ''}`;
  }
}
