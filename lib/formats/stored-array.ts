// An array in a .npy or .safetensors file whose rows are read piece by piece, in either order of elements.

import { setImmediate as turn } from "node:timers/promises";
import { bytesPerElement, hasArray, type ArrayDtype, type Dtype } from "../core/dtype";
import { LibtorchOodError } from "../core/errors";
import type { RecordedFile } from "./extraction-record";
import { plainValues, type ArrayLayout, type PlainArray } from "./plain-values";
import { allocateBytes } from "./regular-file";

/** Bytes that are hashed before the event loop turns: a few milliseconds. */
const bytesPerTurn = 1 << 21;

/** Rows of an array, which lie one after the other in one file. */
export interface StoredRows {
  /** What messages call the array. */
  readonly where: string;
  readonly path: string;
  /** Fills `into` with the bytes from `position` on. */
  readonly read: (position: number, into: Uint8Array) => Promise<void>;
  readonly dtype: Dtype;
  /** The dtype in the file's own words. */
  readonly dtypeName: string;
  readonly layout: Omit<ArrayLayout, "stored">;
  readonly dataOffset: number;
  /** What the run that wrote the values recorded of them. */
  readonly recorded?: RecordedFile | undefined;
  /** What to do where the values are not as recorded. */
  readonly advice?: string;
}

/**
 * Rows `start` to `end − 1`, in C order.
 *
 * @param hash - is given their bytes, as they are in the file
 * @throws ERR_CORRUPT_FILE where the file has shrunk; ERR_IO; ERR_RANGE for a uint64 beyond 2^63 − 1; ERR_OUT_OF_MEMORY
 */
export async function readStoredRows(
  rows: StoredRows,
  start: number,
  end: number,
  hash?: { update(bytes: Uint8Array): unknown },
): Promise<PlainArray> {
  const { where, read, layout, dataOffset } = rows;
  const { fortran, bigEndian } = layout;
  const dtype = rows.dtype;
  if (!hasArray(dtype)) throw new LibtorchOodError("ERR_DTYPE", `${where}: expected numbers of 16 bits or more, found ${rows.dtypeName}`);
  const stored: ArrayDtype = dtype;
  const [all = 0, ...rowShape] = layout.shape;
  const shape = [end - start, ...rowShape];
  const elements = rowShape.reduce((product, size) => product * size, 1);
  const width = bytesPerElement(stored);
  const bytes = allocateBytes((end - start) * elements * width, where);
  if (fortran && elements > 1) {
    const length = (end - start) * width;
    for (let column = 0; column < elements; column++) {
      const at = dataOffset + (column * all + start) * width;
      await read(at, bytes.subarray(column * length, (column + 1) * length));
    }
  } else {
    await read(dataOffset + start * elements * width, bytes);
  }
  for (let at = 0; hash !== undefined && at < bytes.length; at += bytesPerTurn) {
    hash.update(bytes.subarray(at, at + bytesPerTurn));
    if (at > 0) await turn();
  }
  return plainValues(bytes, { stored, bigEndian, fortran, shape }, where);
}
