// Copies some rows of a matrix into a new matrix, in pieces between which the event loop turns.

import { setImmediate as turn } from "node:timers/promises";
import { Tensor } from "../native/tensor";

/** About a millisecond of copying. */
const elementsAtOnce = 1 << 19;

/**
 * A copy of some rows of a float32 or float64 matrix.
 *
 * @param indices - rows, ascending
 * @param columns - columns to copy. Default: all
 */
export async function rowsAt(matrix: Tensor, indices: ArrayLike<number>, columns?: readonly number[]): Promise<Tensor> {
  const [rows, width] = matrix.shape as [number, number];
  const kept = columns ?? Array.from({ length: width }, (_, column) => column);
  const data = new (matrix.dtype === "float32" ? Float32Array : Float64Array)(indices.length * kept.length);
  const step = Math.max(1, Math.floor(elementsAtOnce / width));
  for (let next = 0; next < indices.length;) {
    const start = indices[next] as number;
    const end = Math.min(rows, start + step);
    const block = matrix.slice(start, end);
    const values = block.toArray() as Float32Array;
    block.dispose();
    for (; next < indices.length && (indices[next] as number) < end; next++) {
      const from = ((indices[next] as number) - start) * width;
      if (columns === undefined) data.set(values.subarray(from, from + width), next * width);
      else kept.forEach((column, i) => (data[next * kept.length + i] = values[from + column] as number));
    }
    await turn();
  }
  return Tensor.from(data, [indices.length, kept.length]);
}

/** At most `limit` numbers from 0 to count − 1, evenly spread, ascending. */
export function spread(count: number, limit: number): Uint32Array {
  const length = Math.min(count, limit);
  return Uint32Array.from({ length }, (_, i) => Math.floor((i * count) / length));
}
