// Seeded damage to files, for tests that a reader takes whatever it is given: to the bytes, or to what a sound header says.

import { seededUint32 } from "../../lib/core/random";
import { parseSafetensors, serializeSafetensors, type SafetensorsInput } from "../../lib/formats/safetensors";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
const strange: Json[] = [null, true, -1, 0, 1.5, 1e308, 2 ** 40, 64, "", "cuda:99", "logits", "full", [], [0], {}, { name: "vim" }];
const integers = [0, 1, 2, 3, 0x7f, 0xff, 0x100, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];

export interface Draws {
  below: (bound: number) => number;
  pick: <T>(values: readonly T[]) => T;
}

export function draws(seed: number): Draws {
  const random = seededUint32(seed);
  const below = (bound: number): number => random() % bound;
  return { below, pick: (values) => values[below(values.length)] as (typeof values)[number] };
}

/**
 * One to four changes: bits, bytes, 16- and 32-bit numbers of either order, cuts, insertions, pieces moved or doubled.
 *
 * @param head - bytes at the start that half of the changes go to: where a format keeps its sizes
 */
export function damageBytes(file: Uint8Array, head: number, { below, pick }: Draws): Buffer {
  let bytes = Buffer.from(file);
  for (let changes = 1 + below(4); changes > 0 && bytes.length > 4; changes--) {
    const at = below(below(2) ? Math.min(head, bytes.length) : bytes.length);
    const inside = Math.min(at, bytes.length - 4);
    const kind = below(16);
    if (kind < 4) bytes[at] = (bytes[at] as number) ^ (1 << below(8));
    else if (kind < 7) bytes[at] = pick([0, 1, 0x7f, 0x80, 0xff, below(256)]);
    else if (kind < 9) bytes.writeUInt32LE(pick(integers), inside);
    else if (kind < 11) bytes.writeUInt32BE(pick(integers), inside);
    else if (kind === 11) bytes.writeUInt16BE(pick(integers) & 0xffff, inside);
    else if (kind === 12) bytes = bytes.subarray(0, at);
    else if (kind === 13) bytes = Buffer.concat([bytes, Buffer.alloc(1 + below(9), below(256))]);
    else if (kind === 14) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + below(8))]);
    else bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(below(at + 1), at), bytes.subarray(at)]);
  }
  return bytes;
}

/** Replaces, drops or adds one value somewhere in the JSON. */
function damageJson(value: Json, { below, pick }: Draws): Json {
  if (typeof value !== "object" || value === null || below(4) === 0) return pick(strange);
  const keys = Object.keys(value);
  if (keys.length === 0) return pick(strange);
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, Json>;
  const key = pick(keys);
  if (below(5) === 0) delete copy[key];
  else copy[key] = damageJson(copy[key] as Json, { below, pick });
  return copy;
}

/** A sound .safetensors file whose description, values, names or shapes are not those of before. */
export function damageMeaning(file: Uint8Array, draw: Draws): Uint8Array {
  const { below, pick } = draw;
  const { metadata, tensors } = parseSafetensors(file);
  const named = new Map(metadata);
  const inputs: SafetensorsInput[] = [...tensors].map(([name, tensor]) => ({ name, ...tensor, data: Uint8Array.from(tensor.data) }));
  const target = pick(inputs) as { -readonly [K in keyof SafetensorsInput]: SafetensorsInput[K] };
  const kind = below(6);
  const key = named.has("model") ? "model" : "description"; // of networks, and of all else
  if (kind < 3) named.set(key, JSON.stringify(damageJson(JSON.parse(named.get(key) as string) as Json, draw)));
  else if (kind === 3) named.set(pick(["format", "version"]), pick(["2", "libtorch-ood/resnet", ""]));
  else if (kind === 4) {
    // NaN, infinities, negative counts, another order
    const words = new DataView((target.data as Uint8Array).buffer);
    if (words.byteLength >= 8) words.setFloat64(8 * below(words.byteLength >> 3), pick([NaN, Infinity, -Infinity, -1, 1e300]), true);
  } else if (below(2) === 0) inputs.splice(inputs.indexOf(target), 1);
  else {
    const elements = target.shape.reduce((a, b) => a * b, 1);
    target.shape = pick([[elements], [1, elements], [elements, 1]]);
  }
  return serializeSafetensors(inputs, { metadata: named });
}
