// The one table of dtypes: the width of each, its typed array, and its name in libtorch, safetensors, NumPy, MATLAB and IDX.

import { typedArrayName } from "./checks";

/** The largest number of dimensions: NumPy, libtorch and the safetensors format allow as many. */
export const maxDimensions = 64;

/** The typed array of each dtype that has one. For float16 and bfloat16 it holds the bit patterns. */
export interface ArrayOfDtype {
  float64: Float64Array;
  float32: Float32Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  int64: BigInt64Array;
  int32: Int32Array;
  int16: Int16Array;
  int8: Int8Array;
  uint64: BigUint64Array;
  uint32: Uint32Array;
  uint16: Uint16Array;
  uint8: Uint8Array;
  bool: Uint8Array;
}

/** The dtypes of numbers that are read from a file, whatever they were stored as. */
export type PlainDtype = "float64" | "float32" | "int64" | "int32";

interface DtypeRow {
  /** Bits per element. */
  readonly bits: number;
  readonly kind: "float" | "integer" | "bool" | "complex";
  readonly safetensors: string;
  /** NumPy's kind and width, without the byte order. */
  readonly numpy?: string;
  /** Type code of MATLAB 5 files. */
  readonly matlab?: number;
  /** Type code of IDX files. */
  readonly idx?: number;
  /** Whether a Tensor may have it. */
  readonly native?: true;
  /** See {@link plainOf}. */
  readonly plain?: PlainDtype;
}

export const dtypes = {
  float64: { bits: 64, kind: "float", safetensors: "F64", numpy: "f8", matlab: 9, idx: 0x0e, native: true, plain: "float64" },
  float32: { bits: 32, kind: "float", safetensors: "F32", numpy: "f4", matlab: 7, idx: 0x0d, native: true, plain: "float32" },
  float16: { bits: 16, kind: "float", safetensors: "F16", numpy: "f2", plain: "float32" },
  bfloat16: { bits: 16, kind: "float", safetensors: "BF16", plain: "float32" },
  int64: { bits: 64, kind: "integer", safetensors: "I64", numpy: "i8", matlab: 12, native: true, plain: "int64" },
  int32: { bits: 32, kind: "integer", safetensors: "I32", numpy: "i4", matlab: 5, idx: 0x0c, native: true, plain: "int32" },
  int16: { bits: 16, kind: "integer", safetensors: "I16", numpy: "i2", matlab: 3, idx: 0x0b, plain: "int32" },
  int8: { bits: 8, kind: "integer", safetensors: "I8", numpy: "i1", matlab: 1, idx: 0x09, native: true, plain: "int32" },
  uint64: { bits: 64, kind: "integer", safetensors: "U64", numpy: "u8", matlab: 13, plain: "int64" },
  uint32: { bits: 32, kind: "integer", safetensors: "U32", numpy: "u4", matlab: 6, plain: "int64" },
  uint16: { bits: 16, kind: "integer", safetensors: "U16", numpy: "u2", matlab: 4, plain: "int32" },
  uint8: { bits: 8, kind: "integer", safetensors: "U8", numpy: "u1", matlab: 2, idx: 0x08, native: true, plain: "int32" },
  bool: { bits: 8, kind: "bool", safetensors: "BOOL", numpy: "b1", plain: "int32" },
  // Of these a file's bytes are handed out, no more.
  complex64: { bits: 64, kind: "complex", safetensors: "C64" },
  float8_e4m3fn: { bits: 8, kind: "float", safetensors: "F8_E4M3" },
  float8_e5m2: { bits: 8, kind: "float", safetensors: "F8_E5M2" },
  float8_e8m0fnu: { bits: 8, kind: "float", safetensors: "F8_E8M0" },
  float8_e4m3fnuz: { bits: 8, kind: "float", safetensors: "F8_E4M3FNUZ" },
  float8_e5m2fnuz: { bits: 8, kind: "float", safetensors: "F8_E5M2FNUZ" },
  float6_e2m3fn: { bits: 6, kind: "float", safetensors: "F6_E2M3" },
  float6_e3m2fn: { bits: 6, kind: "float", safetensors: "F6_E3M2" },
  float4_e2m1fn: { bits: 4, kind: "float", safetensors: "F4" },
} as const satisfies Record<string, DtypeRow>;

export type Dtype = keyof typeof dtypes;
/** The dtypes that have a typed array. */
export type ArrayDtype = keyof ArrayOfDtype;
/** The dtypes that a Tensor may have. */
export type NativeDtype = { [D in Dtype]: (typeof dtypes)[D] extends { native: true } ? D : never }[Dtype];
export type NativeArray = ArrayOfDtype[NativeDtype];

const constructors: { readonly [D in ArrayDtype]: new (source: ArrayBuffer | number) => ArrayOfDtype[D] } = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint64: BigUint64Array,
  uint32: Uint32Array,
  uint16: Uint16Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

/** Every dtype, or those of which `having` is true, in the order of the table. */
export function dtypesHaving(having: (row: DtypeRow) => unknown = () => true): Dtype[] {
  return (Object.keys(dtypes) as Dtype[]).filter((dtype) => having(dtypes[dtype]));
}

export const nativeDtypes = dtypesHaving(({ native }) => native) as readonly NativeDtype[];

export function hasArray(dtype: Dtype): dtype is ArrayDtype {
  return Object.hasOwn(constructors, dtype);
}

export function isNativeDtype(dtype: unknown): dtype is NativeDtype {
  return nativeDtypes.includes(dtype as NativeDtype);
}

export function bytesPerElement(dtype: Dtype): number {
  return dtypes[dtype].bits / 8;
}

/**
 * The narrowest dtype, among those that numbers from files are given in, that holds every value exactly. Of uint64 it holds the values below 2^63.
 */
export function plainOf(dtype: ArrayDtype): PlainDtype {
  return dtypes[dtype].plain;
}

/** A typed array of `length` zeros, or over all of a buffer. */
export function arrayOf<D extends ArrayDtype>(dtype: D, source: ArrayBuffer | number): ArrayOfDtype[D] {
  return new constructors[dtype](source);
}

/** "Float32Array", … For bit patterns and truth values, the name of the array that holds them. */
export function arrayNameOf(dtype: ArrayDtype): string {
  return constructors[dtype].name;
}

/** A typed array's bytes, without a copy. */
export function bytesOfArray({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return byteLength === 0 ? new Uint8Array(0) : new Uint8Array(buffer, byteOffset, byteLength);
}

/** From a format's names of dtypes to the dtypes. */
function named(column: "safetensors" | "numpy" | "matlab" | "idx"): ReadonlyMap<unknown, Dtype> {
  return new Map(dtypesHaving((row) => row[column] !== undefined).map((dtype) => [(dtypes[dtype] as DtypeRow)[column], dtype]));
}
const names = { safetensors: named("safetensors"), numpy: named("numpy"), matlab: named("matlab"), idx: named("idx") };

/** The dtype that a format calls `code`; undefined where it has none of that name. */
export function dtypeNamed(format: keyof typeof names, code: unknown): Dtype | undefined {
  return names[format].get(code);
}

/** The dtype of the numbers in each kind of typed array: an array of bytes holds uint8, not truth values or halves of float16. */
const dtypeOfKind: ReadonlyMap<string, ArrayDtype> = new Map([
  ...dtypesHaving(({ kind }) => kind !== "bool")
    .filter(hasArray)
    .filter((dtype) => dtype !== "float16" && dtype !== "bfloat16")
    .map((dtype) => [arrayNameOf(dtype), dtype] as const),
  ["Uint8ClampedArray", "uint8"],
]);

/** The dtype of a typed array's numbers; undefined for any other value. The array is told by its tag, because it may come from another realm. */
export function dtypeOf(value: unknown): ArrayDtype | undefined {
  return ArrayBuffer.isView(value) ? dtypeOfKind.get(typedArrayName(value)) : undefined;
}

/** The kinds of typed arrays whose numbers have one of these dtypes. */
export function arrayNames(of: readonly Dtype[]): string[] {
  return [...dtypeOfKind].filter(([, dtype]) => of.includes(dtype)).map(([name]) => name);
}
