// The rows that a model outside this library gives for a batch: their forms, and the checks of count, width, dtype and finiteness.

import { fail, isRevoked, typedArrayName } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { shortList } from "../core/lists";
import { Tensor } from "../native/tensor";

/** The typed arrays that rows may come in. */
export type RowArray = Float32Array | Float64Array;

/**
 * A matrix of one row per image of a batch, [n, d]: its elements row after row; an array with its shape; a {@link Tensor}, which stays the function's; or
 * a list of n rows of d numbers each.
 */
export type BatchRows =
  | RowArray
  | {
      /** The elements, row after row. */
      data: RowArray;
      /** [n, d]. */
      shape: readonly number[];
    }
  | Tensor
  | readonly (RowArray | readonly number[])[];

/** What the rows have to be. */
export interface ExpectedRows {
  /** Name of the matrix in errors: "features" or "logits". */
  readonly name: string;
  readonly count: number;
  readonly width: number;
}

/**
 * The elements of the rows, row-major. They are not looked at yet: {@link requireFinite} does.
 *
 * @throws ERR_SHAPE for another number of rows or columns; ERR_DTYPE for elements that are not float32 or float64; ERR_OPTION for any other value
 */
export function rowElements(rows: unknown, expected: ExpectedRows): RowArray {
  const { name, count, width } = expected;
  if (isRowArray(rows)) {
    if (rows.length !== count * width) wrongShape(expected, `${rows.length} numbers`);
    return rows;
  }
  if (ArrayBuffer.isView(rows)) fail("ERR_DTYPE", name, "a Float32Array or Float64Array", rows);
  if (Tensor.is(rows)) {
    const { dtype, shape } = rows;
    if (dtype !== "float32" && dtype !== "float64") fail("ERR_DTYPE", name, "a Tensor of float32 or float64", dtype);
    requireShape(shape, expected);
    return rows.toArray() as RowArray;
  }
  if (typeof rows !== "object" || rows === null || isRevoked(rows)) fail("ERR_OPTION", name, forms, rows);
  if (Array.isArray(rows)) return fromList(rows, expected);
  const { data, shape } = rows as { data?: unknown; shape?: unknown };
  if (data === undefined) fail("ERR_OPTION", name, forms, rows);
  if (!isRowArray(data)) fail("ERR_DTYPE", `${name}.data`, "a Float32Array or Float64Array", data);
  requireShape(shortList(shape, 64), expected);
  if (data.length !== count * width) wrongShape(expected, `${data.length} numbers`);
  return data;
}

const forms = "a Float32Array, a Float64Array, { data, shape }, a Tensor or a list of rows";

/** @throws ERR_NON_FINITE that names the first row with NaN or infinity. @param firstRow - number of the first of these rows in the batch */
export function requireFinite(elements: RowArray, name: string, width: number, firstRow: number): void {
  const bad = elements.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) fail("ERR_NON_FINITE", `${name}[${firstRow + Math.floor(bad / width)}]`, "finite numbers", elements[bad]);
}

/** An error of a check, with the batch that it is about before its words. */
export function inBatch(error: LibtorchOodError, batch: string): LibtorchOodError {
  return new LibtorchOodError(error.code, `${batch}: ${error.message}`, { cause: error });
}

function fromList(rows: readonly unknown[], expected: ExpectedRows): RowArray {
  const { name, count, width } = expected;
  if (rows.length !== count) wrongShape(expected, `${rows.length} rows`);
  const elements = new Float64Array(count * width);
  for (let row = 0; row < count; row++) {
    const values = rows[row];
    if (!isRowArray(values) && !Array.isArray(values)) fail("ERR_DTYPE", `${name}[${row}]`, "a row of numbers", values);
    if (values.length !== width) wrongShape(expected, `${values.length} numbers in row ${row}`);
    for (let column = 0; column < width; column++) {
      const value: unknown = values[column];
      if (typeof value !== "number") fail("ERR_DTYPE", `${name}[${row}][${column}]`, "a number", value);
      elements[row * width + column] = value;
    }
  }
  return elements;
}

function requireShape(shape: readonly unknown[] | undefined, expected: ExpectedRows): void {
  if (shape?.length === 2 && shape[0] === expected.count && shape[1] === expected.width) return;
  wrongShape(expected, shape === undefined ? "no shape" : `[${shape.map(String).join(", ")}]`);
}

function wrongShape({ name, count, width }: ExpectedRows, found: string): never {
  throw new LibtorchOodError("ERR_SHAPE", `${name}: expected [${count}, ${width}], one row per image, found ${found}`);
}

function isRowArray(value: unknown): value is RowArray {
  return ArrayBuffer.isView(value) && (typedArrayName(value) === "Float32Array" || typedArrayName(value) === "Float64Array");
}
