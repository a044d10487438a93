// Area under the precision-recall curve (AUPR), with the positive class and the estimator both named.

import { oneOf, optionsObject } from "../core/checks";
import { positivesAndNegatives, type PositiveClass } from "./positive-class";
import type { NumberList } from "./scores";
import { staircase } from "./thresholds";

/** Options of {@link aupr}. */
export interface AuprOptions {
  /** The positive set: `"in"` (default) gives AUPR-in, `"out"` gives AUPR-out. */
  positive?: PositiveClass;
  /**
   * How the area is computed.
   *
   * - `"average-precision"` (default): the sum of precision times the step in recall, as scikit-learn's `average_precision_score`.
   * - `"trapezoid"`: linear interpolation between the points of the curve, as in OpenOOD 1.5. It is too optimistic, because precision is not linear
   *   in recall (Davis and Goadrich 2006).
   */
  estimator?: "average-precision" | "trapezoid";
}

/**
 * Area under the precision-recall curve, for scores where higher means more in-distribution. Its chance level is the share of the positive set among
 * all inputs.
 *
 * @param inDistribution - scores of in-distribution inputs, any length from 1
 * @param outOfDistribution - scores of out-of-distribution inputs, any length from 1
 * @param options - positive set and estimator
 * @returns a number in (0, 1]
 * @throws ERR_SHAPE for an empty list; ERR_NON_FINITE for NaN or infinity; ERR_DTYPE for anything but numbers; ERR_OPTION for an unknown option or
 *   value
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * metrics.aupr([0.9, 0.8, 0.7], [0.75, 0.1], { positive: "out" }); // 5/6
 */
export function aupr(inDistribution: NumberList, outOfDistribution: NumberList, options: AuprOptions = {}): number {
  const { positive = "in", estimator = "average-precision" } = optionsObject(options, "options", ["positive", "estimator"]);
  oneOf(estimator, "estimator", ["average-precision", "trapezoid"]);
  const { positives, negatives } = positivesAndNegatives(inDistribution, outOfDistribution, positive);
  const { truePositives, falsePositives } = staircase(positives, negatives);
  let area = 0;
  let lastHits = 0;
  let lastPrecision = 1; // the curve starts at recall 0, precision 1
  for (let i = 0; i < truePositives.length; i++) {
    const hits = truePositives[i] as number;
    const precision = hits / (hits + (falsePositives[i] as number));
    const height = estimator === "trapezoid" ? (precision + lastPrecision) / 2 : precision;
    area += (hits - lastHits) * height;
    lastHits = hits;
    lastPrecision = precision;
  }
  return area / positives.length;
}
