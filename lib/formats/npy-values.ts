// From the bytes of a .npy file to an array in C order, of one of the four dtypes that are handed out. Every value is exact.

import { setImmediate as turn } from "node:timers/promises";
import { LibtorchOodError } from "../core/errors";
import { swapBytes } from "./byte-order";
import { npyElements, type NpyDtype, type NpyElement, type NpyHeader } from "./npy-header";
import { halfToNumber } from "./safetensors-data";

/** The typed array of each dtype. */
export interface NpyArrays {
  float32: Float32Array;
  float64: Float64Array;
  int32: Int32Array;
  int64: BigInt64Array;
}

export type NpyArray = NpyArrays[NpyDtype];

/** Converted or moved between turns of the event loop: a few milliseconds. */
const elementsPerTurn = 1 << 20;

/** @throws ERR_RANGE for a uint64 beyond 2^63 − 1 */
export async function npyValues(
  bytes: Uint8Array<ArrayBuffer>,
  { element, bigEndian, fortran, shape }: NpyHeader,
  path: string,
): Promise<NpyArray> {
  if (bigEndian) swapBytes(bytes, npyElements[element].bytes);
  const values = await widened(bytes.buffer, element, path);
  // Where one dimension at most is longer than 1, both orders are the same.
  const sizes = shape.filter((size) => size !== 1);
  return fortran && sizes.length > 1 && values.length > 0 ? transposed(values, sizes) : values;
}

function widened(buffer: ArrayBuffer, element: NpyElement, path: string): NpyArray | Promise<NpyArray> {
  switch (element) {
    case "f4":
      return new Float32Array(buffer);
    case "f8":
      return new Float64Array(buffer);
    case "i4":
      return new Int32Array(buffer);
    case "i8":
      return new BigInt64Array(buffer);
    case "f2":
      return converted(new Uint16Array(buffer), (length) => new Float32Array(length), halfToNumber);
    case "i1":
      return converted(new Int8Array(buffer), int32, same);
    case "i2":
      return converted(new Int16Array(buffer), int32, same);
    case "u1":
      return converted(new Uint8Array(buffer), int32, same);
    case "u2":
      return converted(new Uint16Array(buffer), int32, same);
    case "b1":
      return converted(new Uint8Array(buffer), int32, (value): number => (value === 0 ? 0 : 1));
    case "u4":
      return converted(new Uint32Array(buffer), int64, BigInt);
    case "u8":
      return converted(new BigUint64Array(buffer), int64, (value, i) => {
        if (value < 2n ** 63n) return value;
        throw new LibtorchOodError("ERR_RANGE", `${path}: expected numbers below 2^63, found ${value} as element ${i}`);
      });
  }
}

const int32 = (length: number): Int32Array => new Int32Array(length);
const int64 = (length: number): BigInt64Array => new BigInt64Array(length);
const same = (value: number): number => value;

async function converted<T, U, A extends { [index: number]: U }>(
  source: { readonly length: number; readonly [index: number]: T },
  make: (length: number) => A,
  convert: (value: T, index: number) => U,
): Promise<A> {
  const target = make(source.length);
  for (let start = 0; start < source.length; start += elementsPerTurn) {
    const end = Math.min(source.length, start + elementsPerTurn);
    for (let i = start; i < end; i++) target[i] = convert(source[i] as T, i);
    await turn();
  }
  return target;
}

/** From the first dimension fastest to the last dimension fastest. */
async function transposed(values: NpyArray, sizes: readonly number[]): Promise<NpyArray> {
  const [rows = 1, ...rest] = sizes;
  const columns = values.length / rows;
  const target = values.slice() as NpyArray;
  const rowsPerTurn = Math.max(blockRows, Math.floor(elementsPerTurn / columns));
  for (let start = 0; start < rows; start += rowsPerTurn) {
    turnBlocks(values, target, rows, columns, start, Math.min(rows, start + rowsPerTurn));
    await turn();
  }
  if (rest.length < 2) return target;
  // Each row is an array of the other dimensions, whose first is fastest still.
  for (let row = 0, done = 0; row < rows; row++) {
    const part = target.subarray(row * columns, (row + 1) * columns);
    if (columns > elementsPerTurn) part.set((await transposed(part, rest)) as never);
    else part.set(transposedAtOnce(part, rest) as never);
    done += columns;
    if (done < elementsPerTurn) continue;
    done = 0;
    await turn();
  }
  return target;
}

function transposedAtOnce(values: NpyArray, [rows = 1, ...rest]: readonly number[]): NpyArray {
  const columns = values.length / rows;
  const target = values.slice() as NpyArray;
  turnBlocks(values, target, rows, columns, 0, rows);
  if (rest.length < 2) return target;
  for (let row = 0; row < rows; row++) {
    const part = target.subarray(row * columns, (row + 1) * columns);
    part.set(transposedAtOnce(part, rest) as never);
  }
  return target;
}

/** Few enough that the rows under way stay in the processor's cache. */
const blockRows = 64;

function turnBlocks(source: NpyArray, target: NpyArray, rows: number, columns: number, from: number, to: number): void {
  for (let block = from; block < to; block += blockRows) {
    const end = Math.min(to, block + blockRows);
    for (let column = 0; column < columns; column++) {
      for (let row = block; row < end; row++) target[row * columns + column] = source[column * rows + row] as never;
    }
  }
}
