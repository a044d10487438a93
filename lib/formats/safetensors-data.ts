// The dtypes of the safetensors format: their sizes, and typed arrays to and from the little-endian bytes in a file.

import { describe, fail, typedArrayName } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { bytesOf } from "../core/lists";

/** Bits per element of every dtype of the format. */
export const dtypeBits = {
  ...{ F64: 64, F32: 32, F16: 16, BF16: 16, I64: 64, I32: 32, I16: 16, I8: 8, U64: 64, U32: 32, U16: 16, U8: 8, BOOL: 8 },
  // Their bytes are handed out, no more.
  ...{ C64: 64, F8_E4M3: 8, F8_E5M2: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8, F6_E2M3: 6, F6_E3M2: 6, F4: 4 },
} as const;

export type SafetensorsDtype = keyof typeof dtypeBits;

export function isSafetensorsDtype(value: unknown): value is SafetensorsDtype {
  return typeof value === "string" && Object.hasOwn(dtypeBits, value);
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

const arraysOfDtype: { readonly [dtype in SafetensorsDtype]?: readonly string[] } = {
  F64: ["Float64Array"],
  F32: ["Float32Array"],
  F16: ["Uint16Array"],
  BF16: ["Uint16Array"],
  I64: ["Int32Array", "BigInt64Array"],
  I32: ["Int32Array"],
  I16: ["Int16Array"],
  I8: ["Int8Array"],
  U64: ["BigUint64Array"],
  U32: ["Uint32Array"],
  U16: ["Uint16Array"],
  U8: ["Uint8ClampedArray"],
};

/**
 * The bytes of `data` as a tensor of `dtype`, without a copy. The one exception: an Int32Array given for I64 is widened, so
 * that counters can be written without BigInt. A Uint16Array holds the bit patterns of F16 or BF16.
 *
 * @throws ERR_DTYPE where the kind of array does not fit the dtype
 */
export function toBytes(dtype: SafetensorsDtype, data: SafetensorsArray, name: string): Uint8Array {
  const kind = ArrayBuffer.isView(data) ? typedArrayName(data) : "";
  const fitting = ["Uint8Array", ...(arraysOfDtype[dtype] ?? [])];
  if (!fitting.includes(kind)) {
    const kinds = fitting.join(" or ");
    throw new LibtorchOodError("ERR_DTYPE", `${name}: expected a ${kinds} for ${dtype}, found ${describe(data)}`);
  }
  if (dtype === "I64" && kind === "Int32Array") return widened(data as Int32Array);
  return data.byteLength === 0 ? new Uint8Array(0) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
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

/** Those of which {@link toValues} knows the numbers. */
export type NumericDtype = keyof ValuesOfDtype;

export function isNumericDtype(dtype: SafetensorsDtype): dtype is NumericDtype {
  return !/^(C|F[468]_|F4)/.test(dtype);
}

/**
 * The elements in a tensor's bytes, as a typed array with memory of its own (the bytes may lie at any offset). Every value is exact:
 * F16 and BF16 become float32, I64 and U64 become float64.
 *
 * @throws ERR_SHAPE where the bytes are no whole number of elements, ERR_RANGE where an I64 or U64 is beyond ±(2^53 − 1), ERR_DTYPE for complex
 *   numbers and for floats of 8 bits and fewer, and where `bytes` is no Uint8Array
 */
export function toValues<D extends SafetensorsDtype>(dtype: D, bytes: Uint8Array): ValuesOfDtype[D & NumericDtype];
export function toValues(dtype: SafetensorsDtype, bytes: Uint8Array): ValuesOfDtype[NumericDtype] {
  if (!isSafetensorsDtype(dtype) || !isNumericDtype(dtype)) {
    const known = (Object.keys(dtypeBits) as SafetensorsDtype[]).filter(isNumericDtype);
    throw new LibtorchOodError("ERR_DTYPE", `dtype: expected one of ${known.join(", ")}, found ${describe(dtype)}`);
  }
  const width = dtypeBits[dtype] / 8;
  const given = bytesOf(bytes);
  if (given === undefined) fail("ERR_DTYPE", "bytes", "a Uint8Array", bytes);
  if (given.length % width !== 0) {
    throw new LibtorchOodError("ERR_SHAPE", `bytes: expected a multiple of ${width} for ${dtype}, found ${given.length}`);
  }
  const own = new Uint8Array(given); // at offset 0 of a new buffer, hence aligned for every kind of array
  switch (dtype) {
    case "F64":
      return new Float64Array(own.buffer);
    case "F32":
      return new Float32Array(own.buffer);
    case "F16":
      return Float32Array.from(new Uint16Array(own.buffer), halfToNumber);
    case "BF16":
      return new Float32Array(Uint32Array.from(new Uint16Array(own.buffer), (bits) => bits << 16).buffer);
    case "I64":
      return Float64Array.from(new BigInt64Array(own.buffer), safeNumber);
    case "I32":
      return new Int32Array(own.buffer);
    case "I16":
      return new Int16Array(own.buffer);
    case "I8":
      return new Int8Array(own.buffer);
    case "U64":
      return Float64Array.from(new BigUint64Array(own.buffer), safeNumber);
    case "U32":
      return new Uint32Array(own.buffer);
    case "U16":
      return new Uint16Array(own.buffer);
    case "U8":
    case "BOOL":
      return own;
  }
}

function widened(values: Int32Array): Uint8Array {
  const words = new Int32Array(2 * values.length);
  values.forEach((value, index) => {
    words[2 * index] = value;
    words[2 * index + 1] = value < 0 ? -1 : 0;
  });
  return new Uint8Array(words.buffer);
}

/** IEEE 754 binary16. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function safeNumber(value: bigint, index: number): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number))
    throw new LibtorchOodError("ERR_RANGE", `element ${index}: expected at most 2^53 - 1 in magnitude, found ${value}`);
  return number;
}
