// From the bytes of an array in a file to numbers in C order, of one of the four dtypes that arrays are read as. Every value is exact.

import { setImmediate as turn } from "node:timers/promises";
import { arrayOf, bytesPerElement, plainOf, type ArrayDtype, type ArrayOfDtype, type PlainDtype } from "../core/dtype";
import { LibtorchOodError } from "../core/errors";
import { swapBytes } from "./byte-order";
import { halfNumbers, type HalfDtype } from "./half";

/** The typed arrays that arrays in files are read as: `Float64Array`, `Float32Array`, `BigInt64Array` or `Int32Array`. */
export type PlainArray = ArrayOfDtype[PlainDtype];

/** Elements that are converted or moved between turns of the event loop: a few milliseconds. */
const elementsPerTurn = 1 << 20;

/** How an array lies in its bytes. */
export interface ArrayLayout {
  /** The dtype of the numbers in the file. */
  readonly stored: ArrayDtype;
  readonly bigEndian: boolean;
  /** Whether the first dimension is the fastest. */
  readonly fortran: boolean;
  readonly shape: readonly number[];
}

/**
 * The elements in C order.
 *
 * @param where - what messages call the array
 * @throws ERR_RANGE for a uint64 beyond 2^63 − 1
 */
export async function plainValues(
  bytes: Uint8Array<ArrayBuffer>,
  { stored, bigEndian, fortran, shape }: ArrayLayout,
  where: string,
): Promise<PlainArray> {
  if (bigEndian) swapBytes(bytes, bytesPerElement(stored));
  const values = await widened(bytes.buffer, stored, where);
  // Where one dimension at most is longer than 1, both orders are the same.
  const sizes = shape.filter((size) => size !== 1);
  return fortran && sizes.length > 1 && values.length > 0 ? transposed(values, sizes) : values;
}

function widened(buffer: ArrayBuffer, stored: ArrayDtype, where: string): PlainArray | Promise<PlainArray> {
  const plain = plainOf(stored);
  const values = arrayOf(stored, buffer);
  if (plain === stored) return values as PlainArray;
  if (values instanceof BigUint64Array) {
    return converted(values, new BigInt64Array(values.length), (value, i) => {
      if (value < 2n ** 63n) return value;
      throw new LibtorchOodError("ERR_RANGE", `${where}: expected numbers below 2^63, found ${value} as element ${i}`);
    });
  }
  const numbers = values as Exclude<typeof values, BigInt64Array>;
  if (plain === "int64") return converted(numbers, new BigInt64Array(values.length), BigInt);
  const asNumber = stored === "float16" || stored === "bfloat16" ? halfNumber(stored) : stored === "bool" ? truth : same;
  return converted(numbers, arrayOf(plain, values.length) as Float32Array | Int32Array, asNumber);
}

const halfNumber = (dtype: HalfDtype) => {
  const numbers = halfNumbers(dtype);
  return (bits: number): number => numbers[bits] as number;
};
const same = (value: number): number => value;
const truth = (value: number): number => (value === 0 ? 0 : 1);

async function converted<T, U, A extends { [index: number]: U }>(
  source: { readonly length: number; readonly [index: number]: T },
  target: A,
  convert: (value: T, index: number) => U,
): Promise<A> {
  for (let start = 0; start < source.length; start += elementsPerTurn) {
    const end = Math.min(source.length, start + elementsPerTurn);
    for (let i = start; i < end; i++) target[i] = convert(source[i] as T, i);
    await turn();
  }
  return target;
}

/** From Fortran order (first dimension fastest) to C order (last dimension fastest). */
async function transposed(values: PlainArray, sizes: readonly number[]): Promise<PlainArray> {
  const [rows = 1, ...rest] = sizes;
  const columns = values.length / rows;
  const target = values.slice() as PlainArray;
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

function transposedAtOnce(values: PlainArray, [rows = 1, ...rest]: readonly number[]): PlainArray {
  const columns = values.length / rows;
  const target = values.slice() as PlainArray;
  turnBlocks(values, target, rows, columns, 0, rows);
  if (rest.length < 2) return target;
  for (let row = 0; row < rows; row++) {
    const part = target.subarray(row * columns, (row + 1) * columns);
    part.set(transposedAtOnce(part, rest) as never);
  }
  return target;
}

/** Few enough rows that they stay in the processor's cache. */
const blockRows = 64;

function turnBlocks(source: PlainArray, target: PlainArray, rows: number, columns: number, from: number, to: number): void {
  for (let block = from; block < to; block += blockRows) {
    const end = Math.min(to, block + blockRows);
    for (let column = 0; column < columns; column++) {
      for (let row = block; row < end; row++) target[row * columns + column] = source[column * rows + row] as never;
    }
  }
}
