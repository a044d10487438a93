// Class labels as callers hold them, made into the Tensor of whole numbers that native calls take.

import { describe, fail, typedArrayName } from "./checks";
import { LibtorchOodError } from "./errors";
import { Tensor } from "./tensor";

/** One class index per sample: 0, 1, … */
export type Labels = Int32Array | Uint8Array | Uint8ClampedArray | Int8Array | BigInt64Array | readonly number[] | Tensor;

const integerArrays = ["Int32Array", "Uint8Array", "Uint8ClampedArray", "Int8Array", "BigInt64Array"];

/** The labels as a Tensor of an integer dtype. @throws ERR_DTYPE for anything but whole numbers, ERR_SHAPE for an empty list */
export function labelsTensor(value: Labels, name: string): Tensor {
  if (Tensor.is(value)) return value;
  if (Array.isArray(value)) {
    if (value.length === 0) throw new LibtorchOodError("ERR_SHAPE", `${name}: expected at least one label, found none`);
    value.forEach((label: unknown, i) => {
      if (!Number.isInteger(label) || Math.abs(label as number) > 0x7fffffff) fail("ERR_DTYPE", `${name}[${i}]`, "a whole number", label);
    });
    return Tensor.from(Int32Array.from(value as number[]));
  }
  if (!ArrayBuffer.isView(value) || !integerArrays.includes(typedArrayName(value))) {
    throw new LibtorchOodError("ERR_DTYPE", `${name}: expected an array of whole numbers, found ${describe(value)}`);
  }
  if (value.length === 0) throw new LibtorchOodError("ERR_SHAPE", `${name}: expected at least one label, found none`);
  return Tensor.from(value);
}

/** One more than the largest label: how many classes there are where nobody says. @throws ERR_RANGE for a label below 0 */
export function classesIn(labels: Tensor, name: string): number {
  let largest = 0;
  labels.toArray().forEach((label: number | bigint, i: number) => {
    if (label < 0) throw new LibtorchOodError("ERR_RANGE", `${name}[${i}]: expected a label of at least 0, found ${label}`);
    largest = Math.max(largest, Number(label));
  });
  return largest + 1;
}
