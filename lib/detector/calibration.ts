// p-values against held-out in-distribution scores, and what a false-alarm rate asks of their number.

import { finite } from "../checks";
import { LibtorchOodError } from "../errors";
import type { Score } from "../scores/score";
import { pick, type Tensors } from "./evidence";

/**
 * The conformal p-value of a score: (1 + #{calibration scores ≤ s}) / (n + 1). Where s is exchangeable with the calibration scores,
 * P(p ≤ α) ≤ α for every α, ties included (Vovk et al. 2005; Bates et al. 2023).
 *
 * @param sorted - the n calibration scores, ascending
 */
export function pValue(sorted: Float64Array, score: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) <= score) low = middle + 1;
    else high = middle;
  }
  return (1 + low) / (sorted.length + 1);
}

/**
 * The rate, where `count` calibration inputs can give a p-value that small.
 *
 * @throws ERR_RANGE naming the number that is needed, also outside of 0 to 1; ERR_OPTION, ERR_NON_FINITE
 */
export function checkFalseAlarmRate(value: unknown, count: number): number {
  const rate = finite(value, "falseAlarmRate", Number.MIN_VALUE, 1);
  if (1 / (count + 1) <= rate) return rate;
  let needed = Math.ceil(1 / rate) - 1;
  if (1 / (needed + 1) > rate) needed++; // once: beyond 2^53 another one would change nothing
  const found = `${rate} with ${count}: no p-value is below 1/${count + 1}`;
  throw new LibtorchOodError("ERR_RANGE", `falseAlarmRate: ${needed} calibration inputs are needed for it, found ${found}`);
}

/** Scores of held-out inputs, ascending. @throws ERR_NON_FINITE */
export async function calibrate(score: Score, evidence: Tensors, signal: AbortSignal | undefined): Promise<Float64Array> {
  const scores = await score.score(pick(evidence, score.needs), { signal });
  const wrong = scores.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0)
    throw new LibtorchOodError("ERR_NON_FINITE", `calibration: expected finite scores, found ${scores[wrong]} for input ${wrong}`);
  return Float64Array.from(scores).sort();
}
