// The ROC and precision-recall curves, with every distinct threshold kept, in scikit-learn's order.

import { optionsObject } from "../core/checks";
import { positivesAndNegatives, type PositiveClass } from "./positive-class";
import type { NumberList } from "./scores";
import { staircase } from "./thresholds";

/** Options of {@link rocCurve} and {@link prCurve}. */
export interface CurveOptions {
  /** The positive set. Default `"in"`. With `"out"` the thresholds are those of the negated scores. */
  positive?: PositiveClass;
}

/** A ROC curve, point by point. */
export interface RocCurve {
  /** Share of the negative set that is called positive, ascending from 0 to 1. */
  readonly falsePositiveRate: Float64Array;
  /** Share of the positive set that is called positive, ascending from 0 to 1. */
  readonly truePositiveRate: Float64Array;
  /**
   * The threshold of each point, descending. An input is called positive where its score is at least the threshold. The first one is Infinity, at
   * which no input is.
   */
  readonly thresholds: Float64Array;
}

/** A precision-recall curve, point by point. */
export interface PrCurve {
  /** Share of the inputs called positive that belong to the positive set. */
  readonly precision: Float64Array;
  /** Share of the positive set that is called positive, descending. */
  readonly recall: Float64Array;
  /** The threshold of each point, ascending. It is one shorter than the other two, whose last point (precision 1, recall 0) has no threshold. */
  readonly thresholds: Float64Array;
}

/**
 * ROC curve from (0, 0) to (1, 1), as scikit-learn's `roc_curve` with `drop_intermediate=False`.
 *
 * @param inDistribution - scores of in-distribution inputs, any length from 1; higher means more in-distribution
 * @param outOfDistribution - scores of out-of-distribution inputs, any length from 1
 * @param options - positive set
 * @throws ERR_SHAPE for an empty list; ERR_NON_FINITE for NaN or infinity; ERR_DTYPE for anything but numbers; ERR_OPTION for an unknown option or
 *   value
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * const { falsePositiveRate, truePositiveRate } = metrics.rocCurve([3, 2], [2, 1]); // [0, 0, 0.5, 1] and [0, 0.5, 1, 1]
 */
export function rocCurve(inDistribution: NumberList, outOfDistribution: NumberList, options: CurveOptions = {}): RocCurve {
  const { positive = "in" } = optionsObject(options, "options", ["positive"]);
  const { positives, negatives } = positivesAndNegatives(inDistribution, outOfDistribution, positive);
  const steps = staircase(positives, negatives);
  const withStart = (values: Float64Array, start: number, total: number): Float64Array =>
    Float64Array.from({ length: values.length + 1 }, (_, i) => (i === 0 ? start : (values[i - 1] as number) / total));
  return {
    falsePositiveRate: withStart(steps.falsePositives, 0, negatives.length),
    truePositiveRate: withStart(steps.truePositives, 0, positives.length),
    thresholds: withStart(steps.thresholds, Infinity, 1),
  };
}

/**
 * Precision-recall curve by ascending threshold, as scikit-learn's `precision_recall_curve`.
 *
 * @param inDistribution - scores of in-distribution inputs, any length from 1; higher means more in-distribution
 * @param outOfDistribution - scores of out-of-distribution inputs, any length from 1
 * @param options - positive set
 * @throws ERR_SHAPE for an empty list; ERR_NON_FINITE for NaN or infinity; ERR_DTYPE for anything but numbers; ERR_OPTION for an unknown option or
 *   value
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * const { precision, recall } = metrics.prCurve([3, 2], [2, 1]); // [0.5, 2/3, 1, 1] and [1, 1, 0.5, 0]
 */
export function prCurve(inDistribution: NumberList, outOfDistribution: NumberList, options: CurveOptions = {}): PrCurve {
  const { positive = "in" } = optionsObject(options, "options", ["positive"]);
  const { positives, negatives } = positivesAndNegatives(inDistribution, outOfDistribution, positive);
  const steps = staircase(positives, negatives);
  const length = steps.thresholds.length;
  const precision = new Float64Array(length + 1);
  const recall = new Float64Array(length + 1);
  precision[length] = 1;
  for (let i = 0; i < length; i++) {
    const hits = steps.truePositives[i] as number;
    precision[length - 1 - i] = hits / (hits + (steps.falsePositives[i] as number));
    recall[length - 1 - i] = hits / positives.length;
  }
  return { precision, recall, thresholds: steps.thresholds.reverse() };
}
