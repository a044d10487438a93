// The lists and matrices that metrics take: checked once and copied to float64.

import { describe, fail, isRevoked } from "../core/checks";
import { dtypeOf, maxDimensions } from "../core/dtype";
import { LibtorchOodError } from "../core/errors";
import { integersOf, isIntegerArray, looksLikeTensor, type Labels } from "../core/labels";
import { listOf, shortList } from "../core/lists";

/** Numbers: a typed array of floats or integers (other than BigInt), or a plain array. */
export type NumberList =
  | Float64Array
  | Float32Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | readonly number[];

/** A matrix of numbers. A float32 Tensor serves as `{ data: tensor.toArray() as Float32Array, shape: tensor.shape }`. */
export interface NumberMatrix {
  /** The values, row by row. */
  readonly data: NumberList;
  /** `[rows, columns]`. */
  readonly shape: readonly number[];
}

/** The list itself. It is told by its tag, because a typed array may come from another realm. */
export function numberList(value: NumberList, name: string, minimumLength = 1): ArrayLike<number> {
  const dtype = dtypeOf(value);
  const isNumbers = ArrayBuffer.isView(value) ? dtype !== undefined && dtype !== "int64" && dtype !== "uint64" : true; // those are BigInt
  const list = isNumbers ? listOf(value) : undefined;
  if (list === undefined) fail("ERR_DTYPE", name, "a number array or a typed array of numbers", value);
  if (list.length < minimumLength) {
    throw new LibtorchOodError("ERR_SHAPE", `${name}: expected at least ${minimumLength} value(s), found ${list.length}`);
  }
  return list as ArrayLike<number>;
}

/**
 * A float64 copy of the list.
 *
 * @throws ERR_NON_FINITE for the first NaN or infinity, ERR_DTYPE for anything but numbers, ERR_SHAPE for too short a list
 */
export function finiteNumbers(value: NumberList, name: string, minimumLength = 1): Float64Array {
  const list = numberList(value, name, minimumLength);
  const copy = new Float64Array(list.length);
  for (let i = 0; i < copy.length; i++) {
    const x = list[i];
    if (typeof x !== "number") fail("ERR_DTYPE", `${name}[${i}]`, "a number", x);
    if (!Number.isFinite(x)) throw new LibtorchOodError("ERR_NON_FINITE", `${name}[${i}]: expected a finite number, found ${x}`);
    copy[i] = x;
  }
  return copy;
}

/** A sorted float64 copy (ascending). */
export function sortedNumbers(value: NumberList, name: string): Float64Array {
  return finiteNumbers(value, name).sort();
}

/** Class indices: whatever serves as labels elsewhere, or a list of whole numbers. */
export type ClassList = Labels | NumberList;

/** Whole numbers `0 <= x < limit`, such as class labels. */
export function wholeNumbers(value: ClassList, name: string, limit = Infinity): ArrayLike<number> {
  const list = classList(value, name);
  const numbers = new Float64Array(list.length);
  for (let i = 0; i < list.length; i++) {
    const x = list[i];
    if (typeof x !== "bigint" && !Number.isInteger(x)) fail("ERR_DTYPE", `${name}[${i}]`, "a whole number", x);
    const index = Number(x);
    if (index < 0 || index >= limit || index > Number.MAX_SAFE_INTEGER) {
      const most = Math.min(limit - 1, Number.MAX_SAFE_INTEGER);
      throw new LibtorchOodError(
        "ERR_RANGE",
        `${name}[${i}]: expected ${limit === Infinity ? "at least 0" : `0 to ${most}`}, found ${index}`,
      );
    }
    numbers[i] = index;
  }
  return numbers;
}

function classList(value: ClassList, name: string): ArrayLike<unknown> {
  const list = looksLikeTensor(value) ? integersOf(value, name) : isIntegerArray(value) ? listOf(value) : numberList(value, name);
  if (list === undefined) fail("ERR_DTYPE", name, "an array of whole numbers", value);
  if (list.length === 0) throw new LibtorchOodError("ERR_SHAPE", `${name}: expected at least 1 value(s), found 0`);
  return list;
}

/**
 * Requires both lists to have one length.
 *
 * @throws ERR_SHAPE where they have not
 */
export function sameLength(a: ArrayLike<number>, aName: string, b: ArrayLike<number>, bName: string): void {
  if (a.length !== b.length) {
    throw new LibtorchOodError("ERR_SHAPE", `${bName}: expected ${a.length} values as in ${aName}, found ${b.length}`);
  }
}

/**
 * The matrix as rows × columns of finite float64.
 *
 * @throws ERR_SHAPE where data and shape disagree, ERR_NON_FINITE, ERR_DTYPE
 */
export function finiteMatrix(value: NumberMatrix, name: string): { data: Float64Array; rows: number; columns: number } {
  const isObject = typeof value === "object" && value !== null && !isRevoked(value);
  const shape = isObject && "data" in value ? shortList(value.shape, maxDimensions) : undefined;
  if (shape === undefined) fail("ERR_DTYPE", name, "a matrix { data, shape: [rows, columns] }", value);
  const [rows, columns] = shape as number[];
  const wellFormed = shape.length === 2 && shape.every((n) => Number.isInteger(n) && (n as number) >= 1);
  if (!wellFormed || rows === undefined || columns === undefined) {
    const found = shape.map((size) => (typeof size === "number" ? size : describe(size))).join(", ");
    throw new LibtorchOodError("ERR_SHAPE", `${name}.shape: expected [rows, columns] of at least 1, found [${found}]`);
  }
  const data = finiteNumbers(value.data, `${name}.data`);
  if (data.length !== rows * columns) {
    throw new LibtorchOodError("ERR_SHAPE", `${name}.data: expected ${rows} x ${columns} = ${rows * columns} values, found ${data.length}`);
  }
  return { data, rows, columns };
}
