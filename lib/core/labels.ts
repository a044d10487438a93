// Class labels as callers hold them: what is taken, told without the native addon, so that metrics run where there is none.

import { fail, isRevoked } from "./checks";
import { dtypeOf, dtypesHaving, isNativeDtype } from "./dtype";

/** A Tensor of an integer dtype, as far as labels are read from it: so that metrics need to know nothing native. */
export interface TensorOfLabels {
  readonly dtype: string;
  readonly shape: readonly number[];
  toArray(): ArrayLike<number | bigint>;
}

/** One class index per sample: 0, 1, … */
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

/** Classes at most where nobody says how many there are, as of a Dataset without names. A larger label is most often a sentinel or a hash. */
export const maxUnstatedClasses = 65_536;

const integers = dtypesHaving(({ kind }) => kind === "integer");
/** Those that a Tensor may have. */
const integerDtypes: readonly string[] = integers.filter(isNativeDtype);

/** Whether it is a typed array of integers; by tag, since it may come from another realm. */
export function isIntegerArray(value: unknown): value is Exclude<Labels, TensorOfLabels | readonly number[]> {
  const dtype = dtypeOf(value);
  return dtype !== undefined && integers.includes(dtype);
}

/** Whether it is a Tensor, told by its shape: the class itself would load the addon. */
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

/** The elements of a Tensor of whole numbers. @throws ERR_DTYPE, ERR_DISPOSED */
export function integersOf(tensor: TensorOfLabels, name: string): ArrayLike<number | bigint> {
  if (!integerDtypes.includes(tensor.dtype)) fail("ERR_DTYPE", name, `a Tensor of ${integerDtypes.join(", ")}`, tensor.dtype);
  return tensor.toArray();
}
