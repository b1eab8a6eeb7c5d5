/** Kernels made into pipelines. */
import type { KernelOperand } from '../device.ts';
import type { DType } from '../dtype.ts';
import { DeviceLimitError, KernelError } from '../errors.ts';
import { getOrCreate } from '../get-or-create.ts';
import type { Access, Kernel } from '../kernel.ts';
import { platform } from '../platform/platform.ts';

/** Bindings that every adapter has, and the most that a kernel with an operand of 16 bits uses. */
const mostOperands = 8;

/** How an operand is stored, where that makes another pipeline. */
const storages: readonly DType[] = ['f32', 'f16', 'bf16'];

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

/**
 * Makes one pipeline for each kernel and choice of its operands that are stored in 16 bits, at its first dispatch, and one layout
 * for each pattern of operands.
 */
export class PipelineCache {
  readonly #device: GPUDevice;
  /** By kernel, then by how its operands are stored: two bits for each. */
  readonly #pipelines = new Map<Kernel, Map<number, Pipeline>>();
  #count = 0;
  readonly #layouts = new Map<string, Layout>();
  readonly #files = new Map<string, string>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  get size(): number {
    return this.#count;
  }

  get(kernel: Kernel, operands: readonly KernelOperand[]): Pipeline {
    let stored = 0;
    for (let i = 0; i < operands.length; i++) stored |= Math.max(0, storages.indexOf(operands[i].dtype)) << (2 * i);
    const variants = getOrCreate(this.#pipelines, kernel, () => new Map<number, Pipeline>());
    return getOrCreate(variants, stored, () => this.#compile(kernel, operands));
  }

  #compile(kernel: Kernel, operands: readonly KernelOperand[]): Pipeline {
    this.#count++;
    const { scalarNames: names, scalarTypes: types } = kernel;
    const layout = this.#layout(kernel);
    const code = this.#source(kernel, operands);
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
    const { accesses } = kernel;
    const limit = this.#device.limits.maxStorageBuffersPerShaderStage;
    if (accesses.length > limit) {
      throw new DeviceLimitError(`${kernel.name}: ${accesses.length} buffers, but the device binds ${limit}`);
    }
    const readOnly = accesses.map(isReadOnly);
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

  /** `Element0`, `Element1` … are how the operands are stored, by binding; those that may be bf16 get a function that reads them. */
  #source(kernel: Kernel, operands: readonly KernelOperand[]): string {
    const { name, wgsl, scalarNames, scalarTypes, operandNames, widens } = kernel;
    const file = getOrCreate(this.#files, wgsl.file, () => platform.readKernel(wgsl.file));
    checkBindings(kernel, file);
    const constants = Object.entries(wgsl.constants ?? {}).map(([name, value]) => `const ${name} = ${value};\n`);
    const elements = Array.from({ length: mostOperands }, (_, i) => {
      const dtype = operands[i]?.dtype;
      const width = widens?.[operandNames[i]];
      if (width) return loadOf(operandNames[i], i, dtype, width);
      const isHalf = dtype === 'f16';
      if (isHalf && !`${file}${wgsl.functions}`.includes(`Element${i}`)) {
        throw new KernelError(`${name}: operand ${operandNames[i]} is stored in f16, which this kernel does not read`);
      }
      return `alias Element${i} = ${isHalf ? 'f16' : 'f32'};\n`;
    });
    const fields = scalarNames.map((each, i) => `  ${each}: ${scalarTypes[i]},\n`);
    const struct = `struct Scalars {\n${fields.join('')}}\nvar<immediate> scalars: Scalars;\n`;
    const features = [
      ...(wgsl.subgroups ? ['subgroups'] : []),
      ...(operands.some(({ dtype }) => dtype === 'f16') ? ['f16'] : []),
    ];
    const directives = `${features.map((each) => `enable ${each};\n`).join('')}requires immediate_address_space;\n`;
    const host = [directives, ...elements, ...constants, ...(fields.length > 0 ? [struct] : [])];
    return `${host.join('')}${file}\n${wgsl.functions ?? ''}`;
  }
}

/** What the array of an operand is made of, and the function that reads one or four elements of it. A word holds two of bf16. */
function loadOf(operand: string, binding: number, dtype: DType, width: 1 | 4): string {
  const element = dtype === 'f16' ? 'f16' : 'f32';
  const forms = {
    1: { stored: element, value: 'f32', read: `f32(${operand}[i])` },
    4: { stored: `vec4<${element}>`, value: 'vec4f', read: `vec4f(${operand}[i])` },
  };
  const pairs = {
    1: { stored: 'u32', value: 'f32', read: `bitcast<f32>((${operand}[i / 2u] >> (16u * (i & 1u))) << 16u)` },
    4: {
      stored: 'vec2u',
      value: 'vec4f',
      read: `bitcast<vec4f>((${operand}[i].xxyy >> vec4u(0, 16, 0, 16)) << vec4u(16))`,
    },
  };
  const { stored, value, read } = (dtype === 'bf16' ? pairs : forms)[width];
  const name = `load${operand[0].toUpperCase()}${operand.slice(1)}`;
  return `alias Stored${binding} = ${stored};\nfn ${name}(i: u32) -> ${value} { return ${read}; }\n`;
}

function isReadOnly(access: Access): boolean {
  return access === 'read' || access === 'strided';
}

/**
 * The element types of the bindings stand in the file alone, so the file has the lines; they must say what was declared.
 *
 * @throws KernelError for an operand that is not bound so, and in a file of one entry point for a binding that is no operand.
 */
function checkBindings({ name, operandNames, accesses, wgsl }: Kernel, file: string): void {
  const bindings = new Set(Array.from(file.matchAll(/@binding\(\d+\) var<storage, \w+> \w+/g), ([line]) => line));
  for (const [i, operand] of operandNames.entries()) {
    const line = `@binding(${i}) var<storage, ${isReadOnly(accesses[i]) ? 'read' : 'read_write'}> ${operand}`;
    if (bindings.delete(line)) continue;
    throw new KernelError(`${name}: operand ${operand} is ${accesses[i]}, but ${wgsl.file}.wgsl has no '${line}'`);
  }
  if ((wgsl.entry ?? 'main') !== 'main' || bindings.size === 0) return;
  throw new KernelError(`${name}: ${wgsl.file}.wgsl has '${[...bindings].join("', '")}', which is no operand`);
}
