// Class labels as callers hold them. Nothing native is needed to read them, so that metrics run without libtorch.

import { fail, isRevoked } from "./checks";
import { dtypeOf, dtypesHaving, isNativeDtype } from "./dtype";

/** The part of a Tensor of an integer dtype that reading labels needs. Any object of this form serves. */
export interface TensorOfLabels {
  /** `"int64"`, `"int32"`, `"int8"` or `"uint8"`. */
  readonly dtype: string;
  /** Sizes of the dimensions: `[N]`. */
  readonly shape: readonly number[];
  /** Copies the elements into a typed array. */
  toArray(): ArrayLike<number | bigint>;
}

/** One class index per sample, from 0 on: a typed array of integers, a plain array of whole numbers, or a Tensor of an integer dtype. */
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
  | TensorOfLabels;

/** The largest number of classes where nobody states it, as for a Dataset without class names. A larger label is most often a sentinel or a hash. */
export const maxUnstatedClasses = 65_536;

const integers = dtypesHaving(({ kind }) => kind === "integer");
/** The integer dtypes that a Tensor may have. */
const integerDtypes: readonly string[] = integers.filter(isNativeDtype);

/** Whether the value is a typed array of integers. It is told by its tag, because it may come from another realm. */
export function isIntegerArray(value: unknown): value is Exclude<Labels, TensorOfLabels | readonly number[]> {
  const dtype = dtypeOf(value);
  return dtype !== undefined && integers.includes(dtype);
}

/** Whether the value is a Tensor. It is told by its shape, because the class itself would load the addon. */
export function looksLikeTensor(value: unknown): value is TensorOfLabels {
  return (
    typeof value === "object" &&
    value !== null &&
    !isRevoked(value) &&
    "dtype" in value &&
    "toArray" in value &&
    typeof value.toArray === "function"
  );
}

/**
 * The elements of a Tensor of an integer dtype.
 *
 * @throws ERR_DTYPE for another dtype; ERR_DISPOSED
 */
export function integersOf(tensor: TensorOfLabels, name: string): ArrayLike<number | bigint> {
  if (!integerDtypes.includes(tensor.dtype)) fail("ERR_DTYPE", name, `a Tensor of ${integerDtypes.join(", ")}`, tensor.dtype);
  return tensor.toArray();
}
