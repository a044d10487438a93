// Which of the two sets is "positive" in a threshold metric: the literature uses both, so every metric names it.

import { oneOf } from "../core/checks";
import { sortedNumbers, type NumberList } from "./scores";
import { negated } from "./thresholds";

/** `"in"`: in-distribution is positive (ODIN, DDU). `"out"`: out-of-distribution is positive (OpenOOD). */
export type PositiveClass = "in" | "out";

/** Both sets sorted ascending, in the sense in which a higher value is more positive. */
export function positivesAndNegatives(
  inDistribution: NumberList,
  outOfDistribution: NumberList,
  positive: PositiveClass,
): { positives: Float64Array; negatives: Float64Array } {
  oneOf(positive, "positive", ["in", "out"]);
  const id = sortedNumbers(inDistribution, "inDistribution");
  const ood = sortedNumbers(outOfDistribution, "outOfDistribution");
  return positive === "in" ? { positives: id, negatives: ood } : { positives: negated(ood), negatives: negated(id) };
}
