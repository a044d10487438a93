// Turns class labels into the integer Tensor that native calls take.

import { describe, fail } from "../core/checks";
import { dtypeOf, isNativeDtype, plainOf, type ArrayDtype } from "../core/dtype";
import { LibtorchOodError } from "../core/errors";
import { integersOf, isIntegerArray, maxUnstatedClasses, type Labels } from "../core/labels";
import { listOf } from "../core/lists";
import { Tensor } from "./tensor";

const largestInt64 = 2n ** 63n - 1n;

/**
 * The labels as a Tensor of an integer dtype.
 *
 * @throws ERR_DTYPE for anything but whole numbers; ERR_SHAPE for an empty list; ERR_RANGE for a label of 2^53 or more in a plain array, and of 2^63
 *   or more in a typed array
 */
export function labelsTensor(value: Labels, name: string): Tensor {
  if (Tensor.is(value)) return value;
  const given = listOf(value);
  if (given !== undefined && !ArrayBuffer.isView(given)) {
    requireSome(given, name);
    const list = Array.from(given, (label, i) => {
      // Array.from gives a hole as undefined, which is no label either.
      if (typeof label !== "number" || !Number.isInteger(label)) fail("ERR_DTYPE", `${name}[${i}]`, "a whole number", label);
      if (!Number.isSafeInteger(label)) fail("ERR_RANGE", `${name}[${i}]`, "a label below 2^53", label);
      return label;
    });
    const short = list.every((label) => Math.abs(label) <= 0x7fffffff);
    return Tensor.from(short ? Int32Array.from(list) : BigInt64Array.from(list, BigInt));
  }
  if (given === undefined || !isIntegerArray(value)) {
    throw new LibtorchOodError("ERR_DTYPE", `${name}: expected an array of whole numbers, found ${describe(value)}`);
  }
  requireSome(value, name);
  const dtype = dtypeOf(value) as ArrayDtype;
  if (isNativeDtype(dtype)) return Tensor.from(value as Int32Array);
  if (plainOf(dtype) === "int32") return Tensor.from(Int32Array.from(value as Int16Array));
  return Tensor.from(
    BigInt64Array.from(value as Uint32Array, (label: number | bigint, i: number) => {
      const exact = BigInt(label);
      if (exact > largestInt64) fail("ERR_RANGE", `${name}[${i}]`, "a label below 2^63", label);
      return exact;
    }),
  );
}

/**
 * One more than the largest label: the number of classes where the caller does not state it.
 *
 * @throws ERR_RANGE for a label below 0, or of {@link maxUnstatedClasses} or more; the message names the gap below such a label
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
