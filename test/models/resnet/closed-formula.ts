// Weights, images and labels by the closed formula of test/reference/network_fill.py, equal to Python's to the last bit, and
// the checksums of test/reference/network_recording.py.

import { Tensor, type ResNet } from "../../../lib";

// Held here: a look-up of a global in the realm of a jest test takes a hundred times as long, and is made per weight.
const { imul } = Math;

export function seed(name: string): number {
  let hash = 2166136261;
  for (const byte of Buffer.from(name)) hash = imul(hash ^ byte, 16777619) >>> 0;
  return hash;
}

function mix(value: number): number {
  let h = value;
  h ^= h >>> 16;
  h = imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

export function words(name: string, count: number): Uint32Array {
  const base = seed(name);
  const result = new Uint32Array(count);
  for (let i = 0; i < count; i++) result[i] = mix((base + imul(i, 0x9e3779b1)) >>> 0);
  return result;
}

// Plain loops: `from` with a function takes twenty times as long, and a ResNet50 has 23 million weights.
export function uniform(name: string, count: number): Float64Array {
  const base = seed(name);
  const result = new Float64Array(count);
  for (let i = 0; i < count; i++) result[i] = mix((base + imul(i, 0x9e3779b1)) >>> 0) / 2 ** 31 - 1;
  return result;
}

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

export function entry(name: string, shape: readonly number[]): Float64Array {
  const count = product(shape);
  if (name.endsWith("num_batches_tracked")) return new Float64Array(count);
  if (name.endsWith("weight_sigma")) return new Float64Array(count).fill(1);
  const r = uniform(name, count);
  if (/weight_[uv]$/.test(name)) {
    const norm = Math.sqrt(r.reduce((sum, x) => sum + x * x, 0));
    return r.map((x) => x / norm);
  }
  if (name.endsWith("running_mean")) return r.map((x) => 0.2 * x);
  if (name.endsWith("running_var")) return r.map((x) => 1.5 + x);
  if (name === "fc.weight") return r.map((x) => (6 * x) / Math.sqrt(shape[1] as number));
  if (name === "fc.bias") return r.map((x) => 0.1 * x);
  if (shape.length === 4) {
    const gain = seed(name) & 2 ? 4 : 0.75;
    const scale = Math.sqrt(3 / product(shape.slice(1)));
    return r.map((x) => gain * x * scale);
  }
  if (name.endsWith("weight")) return r.map((x) => 1 + 0.4 * x);
  return r.map((x) => 0.3 * x);
}

/** Sets every parameter and buffer of a network by the formula. */
export async function fill(model: ResNet): Promise<void> {
  const filled = new Map<string, Tensor>();
  for (const [name, tensor] of await model.weights()) {
    const values = entry(name, tensor.shape);
    filled.set(name, Tensor.from(tensor.dtype === "int64" ? BigInt64Array.from(values, BigInt) : values, tensor.shape));
  }
  await model.setWeights(filled);
}

export const images = (shape: readonly number[]): Tensor => Tensor.from(uniform("images", product(shape)), shape);
export const pixels = (count: number): Uint8Array => Uint8Array.from(words("pixels", count), (word) => word >>> 24);
export const labels = (count: number, classes: number): Int32Array => Int32Array.from(words("labels", count), (word) => word % classes);

export interface Checksum {
  probe: number;
  norm: number;
  first: number;
  last: number;
}

export function numbers(tensor: Tensor): number[] {
  return Array.from(tensor.toArray() as ArrayLike<number | bigint>, Number);
}

export function checksum(tensor: Tensor): Checksum {
  const values = numbers(tensor);
  const probe = uniform("probe", values.length);
  return {
    probe: values.reduce((sum, x, i) => sum + (probe[i] as number) * x, 0),
    norm: Math.sqrt(values.reduce((sum, x) => sum + x * x, 0)),
    first: values[0] as number,
    last: values.at(-1) as number,
  };
}

/** The largest difference of two checksums, relative to the norm of the expected one. */
export function deviation(actual: Checksum, expected: Checksum): number {
  const scale = Math.max(expected.norm, 1e-300);
  return Math.max(...(["probe", "norm", "first", "last"] as const).map((key) => Math.abs(actual[key] - expected[key]) / scale));
}
