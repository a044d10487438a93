// Scores that a row's own numbers give: the rows go by in pieces small enough that the event loop keeps turning.

import { setImmediate as nextTurn } from "node:timers/promises";
import { LibtorchOodError } from "../core/errors";
import { abortError } from "../native/call";
import type { Tensor } from "../native/tensor";

/** A few milliseconds of work. */
const elementsAtOnce = 1 << 17;

/**
 * `score` of the rows of a matrix [N, columns], piece by piece.
 *
 * @throws ERR_NON_FINITE naming the row, ERR_RANGE naming one whose score overflows, ERR_ABORTED
 */
export async function scoreRows(
  matrix: Tensor,
  name: string,
  signal: AbortSignal | undefined,
  score: (piece: { data: Float64Array; shape: [number, number] }) => ArrayLike<number>,
): Promise<Float64Array> {
  const [rows, columns] = matrix.shape as [number, number];
  const scores = new Float64Array(rows);
  const held = matrix.slice(0, rows); // the caller may dispose of theirs meanwhile
  try {
    const step = Math.max(1, Math.floor(elementsAtOnce / columns));
    for (let start = 0; start < rows; start += step) {
      if (start > 0) await nextTurn();
      if (signal?.aborted) throw abortError(signal);
      const end = Math.min(start + step, rows);
      const slice = held.slice(start, end);
      const data = Float64Array.from(slice.toArray() as Float32Array | Float64Array);
      slice.dispose();
      const bad = data.findIndex((value) => !Number.isFinite(value));
      if (bad >= 0) {
        const row = start + Math.floor(bad / columns);
        throw new LibtorchOodError("ERR_NON_FINITE", `${name}: expected finite numbers, found ${data[bad]} in row ${row}`);
      }
      scores.set(score({ data, shape: [end - start, columns] }), start);
    }
    const beyond = scores.findIndex((value) => !Number.isFinite(value));
    if (beyond >= 0)
      throw new LibtorchOodError("ERR_RANGE", `${name}: expected rows whose score is within float64, found row ${beyond} beyond`);
  } finally {
    held.dispose();
  }
  return scores;
}
