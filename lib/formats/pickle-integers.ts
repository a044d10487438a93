// NumPy's integers in a pickle: their dtypes, arrays of them, and the numbers in their bytes.

import { endianness } from "node:os";
import { arrayOf, bytesPerElement, dtypeNamed, dtypes, type ArrayDtype } from "../core/dtype";
import { swapBytes } from "./byte-order";

/** The dtype of numpy's integers and truths by its name for them (as "u1"); undefined for any other. */
export function integerDtype(kind: string): ArrayDtype | undefined {
  const dtype = dtypeNamed("numpy", kind) as ArrayDtype | undefined;
  return dtype === undefined || dtypes[dtype].kind === "float" ? undefined : dtype;
}

export interface PickledInteger {
  readonly dtype: ArrayDtype;
  readonly littleEndian: boolean;
}

/** A numpy array of integers, row by row. */
export class PickledArray {
  constructor(
    readonly shape: readonly number[],
    /** A view of the pickle. */
    readonly data: Uint8Array,
    readonly type: PickledInteger,
  ) {}
}

/** The numbers in an array; those of 64 bits lose digits beyond 2^53. */
export function integersOf({ data, type: { dtype, littleEndian } }: PickledArray): number[] {
  const bytes = new Uint8Array(data); // aligned, and not the pickle's own
  if (littleEndian !== (endianness() === "LE")) swapBytes(bytes, bytesPerElement(dtype));
  return Array.from(arrayOf(dtype, bytes.buffer) as ArrayLike<number | bigint>, Number);
}
