// The dtypes of the safetensors format: typed arrays to the little-endian bytes in a file, and back.

import { describe, fail, typedArrayName } from "../core/checks";
import {
  arrayNameOf,
  arrayOf,
  bytesOfArray,
  bytesPerElement,
  dtypeNamed,
  dtypes,
  dtypesHaving,
  hasArray,
  type ArrayDtype,
  type Dtype,
} from "../core/dtype";
import { LibtorchOodError } from "../core/errors";
import { bytesOf } from "../core/lists";
import { halfValues } from "./half";

/** The dtypes of the safetensors format, by its own names: `"F32"`, `"I64"`, `"BOOL"`, … */
export type SafetensorsDtype = (typeof dtypes)[Dtype]["safetensors"];

/** All of them, in the order of the table of dtypes. */
export const safetensorsDtypes: readonly SafetensorsDtype[] = dtypesHaving().map((dtype) => dtypes[dtype].safetensors);

export function isSafetensorsDtype(value: unknown): value is SafetensorsDtype {
  return dtypeNamed("safetensors", value) !== undefined;
}

/** The rest of the library's name of a dtype. */
export function dtypeIn(file: SafetensorsDtype): Dtype {
  return dtypeNamed("safetensors", file) as Dtype;
}

/** What the writer takes: a Uint8Array of raw little-endian bytes for any dtype, or the typed array that fits the dtype. */
export type SafetensorsArray =
  | Uint8Array
  | Uint8ClampedArray
  | Int8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

/** The kinds of arrays that fit a dtype: its bytes and its typed array, and an Int32Array for int64 too. */
function kindsFor(file: SafetensorsDtype): string[] {
  const dtype = dtypeIn(file);
  if (dtype === "int64") return ["Uint8Array", "Int32Array", arrayNameOf(dtype)];
  if (dtype === "uint8") return ["Uint8Array", "Uint8ClampedArray"];
  return hasArray(dtype) && dtype !== "bool" ? ["Uint8Array", arrayNameOf(dtype)] : ["Uint8Array"];
}

/**
 * The bytes of `data` as a tensor of `dtype`, without a copy. The one exception: an Int32Array given for I64 is widened, so
 * that counters can be written without BigInt. A Uint16Array holds the bit patterns of F16 or BF16.
 *
 * @throws ERR_DTYPE where the kind of array does not fit the dtype
 */
export function toBytes(dtype: SafetensorsDtype, data: SafetensorsArray, name: string): Uint8Array {
  const kind = ArrayBuffer.isView(data) ? typedArrayName(data) : "";
  const fitting = kindsFor(dtype);
  if (!fitting.includes(kind)) {
    const kinds = fitting.join(" or ");
    throw new LibtorchOodError("ERR_DTYPE", `${name}: expected a ${kinds} for ${dtype}, found ${describe(data)}`);
  }
  if (dtype === "I64" && kind === "Int32Array") return widened(data as Int32Array);
  return bytesOfArray(data);
}

/** The typed array that {@link toValues} gives for each dtype. */
export interface ValuesOfDtype {
  F64: Float64Array;
  F32: Float32Array;
  F16: Float32Array;
  BF16: Float32Array;
  I64: Float64Array;
  I32: Int32Array;
  I16: Int16Array;
  I8: Int8Array;
  U64: Float64Array;
  U32: Uint32Array;
  U16: Uint16Array;
  U8: Uint8Array;
  BOOL: Uint8Array;
}

/** The dtypes whose numbers {@link toValues} gives. */
export type NumericDtype = keyof ValuesOfDtype;

export function isNumericDtype(dtype: SafetensorsDtype): dtype is NumericDtype {
  return hasArray(dtypeIn(dtype));
}

/**
 * The numbers in a tensor's bytes, as a typed array with memory of its own. The bytes may lie at any offset.
 *
 * Every value is exact. F16 and BF16 become float32, I64 and U64 become float64. The other dtypes become the typed array of their name, and BOOL a
 * Uint8Array.
 *
 * @param dtype - dtype of the tensor in the file
 * @param bytes - the tensor's bytes, little-endian
 * @throws ERR_SHAPE where the bytes are no whole number of elements; ERR_RANGE where an I64 or U64 is beyond ±(2^53 − 1); ERR_DTYPE for complex
 *   numbers and for floats of 8 bits and fewer, and where `bytes` is no Uint8Array
 * @example
 * import { files } from "libtorch-ood";
 *
 * files.toValues("F16", new Uint8Array([0x00, 0x3c])); // Float32Array [1]
 */
export function toValues<D extends SafetensorsDtype>(dtype: D, bytes: Uint8Array): ValuesOfDtype[D & NumericDtype];
export function toValues(dtype: SafetensorsDtype, bytes: Uint8Array): ValuesOfDtype[NumericDtype] {
  if (!isSafetensorsDtype(dtype) || !isNumericDtype(dtype)) {
    const known = safetensorsDtypes.filter(isNumericDtype);
    throw new LibtorchOodError("ERR_DTYPE", `dtype: expected one of ${known.join(", ")}, found ${describe(dtype)}`);
  }
  const stored = dtypeIn(dtype) as ArrayDtype;
  const width = bytesPerElement(stored);
  const given = bytesOf(bytes);
  if (given === undefined) fail("ERR_DTYPE", "bytes", "a Uint8Array", bytes);
  if (given.length % width !== 0) {
    throw new LibtorchOodError("ERR_SHAPE", `bytes: expected a multiple of ${width} for ${dtype}, found ${given.length}`);
  }
  const own = new Uint8Array(given); // at offset 0 of a new buffer, hence aligned for every kind of array
  if (stored === "float16" || stored === "bfloat16") return halfValues(stored, new Uint16Array(own.buffer));
  const values = arrayOf(stored, own.buffer);
  return values instanceof BigInt64Array || values instanceof BigUint64Array ? Float64Array.from(values, safeNumber) : values;
}

function widened(values: Int32Array): Uint8Array {
  const words = new Int32Array(2 * values.length);
  values.forEach((value, index) => {
    words[2 * index] = value;
    words[2 * index + 1] = value < 0 ? -1 : 0;
  });
  return new Uint8Array(words.buffer);
}

function safeNumber(value: bigint, index: number): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number))
    throw new LibtorchOodError("ERR_RANGE", `element ${index}: expected at most 2^53 - 1 in magnitude, found ${value}`);
  return number;
}
