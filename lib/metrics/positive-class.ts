// Which of the two sets is positive in a threshold metric. The literature uses both, so that every metric names it.

import { oneOf } from "../core/checks";
import type { PositiveClass } from "../protocols/preset";
import { sortedNumbers, type NumberList } from "./scores";
import { negated } from "./thresholds";

export type { PositiveClass };

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
