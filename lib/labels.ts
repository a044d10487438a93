// Class labels as callers hold them, made into the Tensor of whole numbers that native calls take.

import { describe, fail, typedArrayName } from "./checks";
import { LibtorchOodError } from "./errors";
import { Tensor } from "./tensor";

/** One class index per sample: 0, 1, … */
export type Labels =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | readonly number[]
  | Tensor;

/** Classes at most where nobody says how many there are, as of a Dataset without names. A larger label is most often a sentinel or a hash. */
export const maxUnstatedClasses = 65_536;

const arraysOfTensors = ["Int8Array", "Uint8Array", "Uint8ClampedArray", "Int32Array", "BigInt64Array"];
const arraysInInt32 = ["Int16Array", "Uint16Array"];
const arraysInInt64 = ["Uint32Array", "BigUint64Array"];
const integerArrays = new Set([...arraysOfTensors, ...arraysInInt32, ...arraysInInt64]);
const integerDtypes = ["int8", "uint8", "int32", "int64"];
const largestInt64 = 2n ** 63n - 1n;

/** Whether it is a typed array of integers; by tag, since it may come from another realm. */
export function isIntegerArray(value: unknown): value is Exclude<Labels, Tensor | readonly number[]> {
  return ArrayBuffer.isView(value) && integerArrays.has(typedArrayName(value));
}

/** The elements of a Tensor of whole numbers. @throws ERR_DTYPE, ERR_DISPOSED */
export function integersOf(tensor: Tensor, name: string): ArrayLike<number | bigint> {
  if (!integerDtypes.includes(tensor.dtype)) fail("ERR_DTYPE", name, `a Tensor of ${integerDtypes.join(", ")}`, tensor.dtype);
  return tensor.toArray();
}

/**
 * The labels as a Tensor of an integer dtype.
 *
 * @throws ERR_DTYPE for anything but whole numbers, ERR_SHAPE for an empty list, ERR_RANGE for one of 2^63 or more
 */
export function labelsTensor(value: Labels, name: string): Tensor {
  if (Tensor.is(value)) return value;
  if (Array.isArray(value)) {
    requireSome(value, name);
    value.forEach((label: unknown, i) => {
      if (!Number.isInteger(label) || Math.abs(label as number) > 0x7fffffff) fail("ERR_DTYPE", `${name}[${i}]`, "a whole number", label);
    });
    return Tensor.from(Int32Array.from(value as number[]));
  }
  if (!isIntegerArray(value)) {
    throw new LibtorchOodError("ERR_DTYPE", `${name}: expected an array of whole numbers, found ${describe(value)}`);
  }
  requireSome(value, name);
  const kind = typedArrayName(value);
  if (arraysInInt32.includes(kind)) return Tensor.from(Int32Array.from(value as Int16Array));
  if (!arraysInInt64.includes(kind)) return Tensor.from(value as Int32Array);
  return Tensor.from(
    BigInt64Array.from(value as Uint32Array, (label: number | bigint, i: number) => {
      const exact = BigInt(label);
      if (exact > largestInt64) fail("ERR_RANGE", `${name}[${i}]`, "a label below 2^63", label);
      return exact;
    }),
  );
}

/**
 * One more than the largest label: how many classes there are where nobody says.
 *
 * @throws ERR_RANGE for a label below 0 or of {@link maxUnstatedClasses} or more, naming the gap below it
 */
export function classesIn(labels: Tensor, name: string): number {
  const list = integersOf(labels, name);
  let largest = 0;
  let place = 0;
  for (let i = 0; i < list.length; i++) {
    const label = Number(list[i]);
    if (label < 0) throw new LibtorchOodError("ERR_RANGE", `${name}[${i}]: expected a label of at least 0, found ${list[i]}`);
    if (label > largest) [largest, place] = [label, i];
  }
  if (largest < maxUnstatedClasses) return largest + 1;
  let next = -1;
  for (let i = 0; i < list.length; i++) {
    const label = Number(list[i]);
    if (label < largest) next = Math.max(next, label);
  }
  const gap = next + 1 < largest ? `, and no label between ${next} and it` : "";
  throw new LibtorchOodError(
    "ERR_RANGE",
    `${name}[${place}]: expected 0 to ${maxUnstatedClasses - 1} where the number of classes is not stated, found ${list[place]}${gap}`,
  );
}

function requireSome(value: ArrayLike<unknown>, name: string): void {
  if (value.length === 0) throw new LibtorchOodError("ERR_SHAPE", `${name}: expected at least one label, found none`);
}
