// False-positive rates: at a given true-positive rate, and among the highest scores.

import { finite, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { positivesAndNegatives, type PositiveClass } from "./positive-class";
import { sortedNumbers, type NumberList } from "./scores";

/** Options of {@link fprAtTpr}. */
export interface FprOptions {
  /** The true-positive rate to reach, in (0, 1]. Default 0.95. */
  tpr?: number;
  /**
   * The positive set.
   *
   * - `"out"` (default), as in OpenOOD: the result is the share of in-distribution inputs that are flagged when the threshold catches `tpr` of the
   *   out-of-distribution ones.
   * - `"in"`, as in ODIN: the result is the share of out-of-distribution inputs that are accepted when the threshold accepts `tpr` of the
   *   in-distribution ones.
   */
  positive?: PositiveClass;
}

/**
 * False-positive rate at the strictest threshold that reaches the true-positive rate, for scores where higher means more in-distribution. An input at
 * the threshold itself counts as positive, so that ties are never split. With the default `tpr` this is FPR95.
 *
 * @param inDistribution - scores of in-distribution inputs, any length from 1
 * @param outOfDistribution - scores of out-of-distribution inputs, any length from 1
 * @param options - true-positive rate and positive set
 * @returns a number from 0 to 1
 * @throws ERR_SHAPE for an empty list; ERR_NON_FINITE for NaN or infinity; ERR_DTYPE for anything but numbers; ERR_OPTION for an unknown option or
 *   value; ERR_RANGE for a `tpr` outside (0, 1]
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * metrics.fprAtTpr([0.9, 0.8, 0.7, 0.2], [0.3, 0.1]); // 0.25: one of four inputs scores at most 0.3
 */
export function fprAtTpr(inDistribution: NumberList, outOfDistribution: NumberList, options: FprOptions = {}): number {
  const { tpr = 0.95, positive = "out" } = optionsObject(options, "options", ["tpr", "positive"]);
  finite(tpr, "tpr", 0, 1);
  if (tpr === 0) throw new LibtorchOodError("ERR_RANGE", "tpr: expected more than 0 and at most 1, found 0");
  const { positives, negatives } = positivesAndNegatives(inDistribution, outOfDistribution, positive);
  const total = positives.length;
  let needed = Math.ceil(tpr * total); // the product may be off by one rounding: what counts is needed / total >= tpr
  while (needed > 1 && (needed - 1) / total >= tpr) needed--;
  while (needed / total < tpr) needed++;
  const threshold = positives[total - needed] as number;
  return (negatives.length - firstNotBelow(negatives, threshold)) / negatives.length;
}

/**
 * Number of out-of-distribution inputs among the n highest scores of both sets together, n being the number of in-distribution inputs (seed paper,
 * Fig. 5). It is 0 for a perfect separation. Where the cut falls into a tie, it is the mean over all orders of the tied inputs, which may be a
 * fraction.
 *
 * @param inDistribution - scores of in-distribution inputs, any length from 1; higher means more in-distribution
 * @param outOfDistribution - scores of out-of-distribution inputs, any length from 1
 * @returns a number from 0 to n
 * @throws ERR_SHAPE for an empty list; ERR_NON_FINITE for NaN or infinity; ERR_DTYPE for anything but numbers
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * metrics.falsePositivesAmongTop([0.9, 0.8, 0.2], [0.3, 0.1]); // 1: the three highest are 0.9, 0.8 and 0.3
 */
export function falsePositivesAmongTop(inDistribution: NumberList, outOfDistribution: NumberList): number {
  const id = sortedNumbers(inDistribution, "inDistribution");
  const ood = sortedNumbers(outOfDistribution, "outOfDistribution");
  const all = new Float64Array(id.length + ood.length);
  all.set(id);
  all.set(ood, id.length);
  const cut = all.sort()[ood.length] as number; // the lowest of the top id.length scores
  const oodAbove = ood.length - firstAbove(ood, cut);
  const oodTied = firstAbove(ood, cut) - firstNotBelow(ood, cut);
  const tied = firstAbove(all, cut) - firstNotBelow(all, cut);
  const placesForTied = id.length - (all.length - firstAbove(all, cut));
  return oodAbove + (placesForTied * oodTied) / tied;
}

/** Index of the first value >= limit in an ascending array. */
function firstNotBelow(sorted: Float64Array, limit: number): number {
  return partition(sorted, (x) => x < limit);
}

/** Index of the first value > limit in an ascending array. */
function firstAbove(sorted: Float64Array, limit: number): number {
  return partition(sorted, (x) => x <= limit);
}

function partition(sorted: Float64Array, isBefore: (x: number) => boolean): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(sorted[middle] as number)) low = middle + 1;
    else high = middle;
  }
  return low;
}
