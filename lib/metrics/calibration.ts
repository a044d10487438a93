// How far confidence is from accuracy: the reliability diagram and the expected calibration error.

import { integer, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { finiteNumbers, sameLength, wholeNumbers, type ClassList, type NumberList } from "./scores";

/** Options of {@link ece} and {@link reliability}. */
export interface CalibrationOptions {
  /** Number of bins of equal width over (0, 1], 1 to 1 million. Default 15, as in Guo et al. 2017. */
  bins?: number;
}

/** Predictions of similar confidence, and how many of them are correct. */
export interface ReliabilityBin {
  /** Lower end of the bin. The bin holds confidences in (lower, upper], and the first bin also holds 0. */
  readonly lower: number;
  /** Upper end of the bin, which belongs to it. */
  readonly upper: number;
  /** Number of predictions in the bin. */
  readonly count: number;
  /** Mean confidence of the predictions in the bin; NaN for an empty bin. */
  readonly confidence: number;
  /** Share of correct predictions in the bin; NaN for an empty bin. */
  readonly accuracy: number;
}

/**
 * Confidence beside accuracy, bin by bin: the reliability diagram (Guo et al. 2017, Fig. 1).
 *
 * @param confidences - probability of the predicted class, 0 to 1, length N
 * @param predictions - class indices, length N
 * @param labels - class indices, length N
 * @param options - number of bins
 * @returns the bins, ascending
 * @throws ERR_SHAPE for empty lists and unequal lengths; ERR_NON_FINITE where a confidence is NaN or infinite; ERR_DTYPE for anything but numbers,
 *   and for predictions or labels that are no whole numbers; ERR_RANGE for a confidence outside 0 to 1, for a class below 0, and for a number of bins
 *   outside its range; ERR_OPTION for an unknown option
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * const bins = metrics.reliability([0.9, 0.8, 0.3], [1, 0, 2], [1, 0, 1], { bins: 2 });
 * bins.map(({ count, accuracy }) => [count, accuracy]); // [[1, 0], [2, 1]]
 */
export function reliability(
  confidences: NumberList,
  predictions: ClassList,
  labels: ClassList,
  options: CalibrationOptions = {},
): ReliabilityBin[] {
  const { bins = 15 } = optionsObject(options, "options", ["bins"]);
  integer(bins, "bins", 1, 1_000_000);
  const confidence = finiteNumbers(confidences, "confidences");
  const predicted = wholeNumbers(predictions, "predictions");
  const wanted = wholeNumbers(labels, "labels");
  sameLength(confidence, "confidences", predicted, "predictions");
  sameLength(confidence, "confidences", wanted, "labels");
  const counts = new Float64Array(bins);
  const sums = new Float64Array(bins);
  const rights = new Float64Array(bins);
  for (let i = 0; i < confidence.length; i++) {
    const value = confidence[i] as number;
    if (value < 0 || value > 1) throw new LibtorchOodError("ERR_RANGE", `confidences[${i}]: expected 0 to 1, found ${value}`);
    const bin = binOf(value, bins);
    counts[bin] = (counts[bin] as number) + 1;
    sums[bin] = (sums[bin] as number) + value;
    if (predicted[i] === wanted[i]) rights[bin] = (rights[bin] as number) + 1;
  }
  return Array.from({ length: bins }, (_, bin) => {
    const count = counts[bin] as number;
    return {
      lower: bin / bins,
      upper: (bin + 1) / bins,
      count,
      confidence: (sums[bin] as number) / count,
      accuracy: (rights[bin] as number) / count,
    };
  });
}

/**
 * Expected calibration error (Guo et al. 2017): the mean over all inputs of |accuracy − mean confidence| of their bin.
 *
 * @param confidences - probability of the predicted class, 0 to 1, length N
 * @param predictions - class indices, length N
 * @param labels - class indices, length N
 * @param options - number of bins
 * @returns a number from 0 to 1
 * @throws as {@link reliability}
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * metrics.ece([0.9, 0.8, 0.3], [1, 0, 2], [1, 0, 1], { bins: 2 }); // 0.2
 */
export function ece(confidences: NumberList, predictions: ClassList, labels: ClassList, options: CalibrationOptions = {}): number {
  const filled = reliability(confidences, predictions, labels, options).filter((bin) => bin.count > 0);
  const total = filled.reduce((sum, bin) => sum + bin.count, 0);
  return filled.reduce((sum, bin) => sum + bin.count * Math.abs(bin.accuracy - bin.confidence), 0) / total;
}

/** The bin whose (lower, upper] holds the value. The product is a first guess that rounding may put one off. */
function binOf(value: number, bins: number): number {
  let bin = Math.min(bins - 1, Math.max(0, Math.ceil(value * bins) - 1));
  while (bin > 0 && value <= bin / bins) bin--;
  while (bin < bins - 1 && value > (bin + 1) / bins) bin++;
  return bin;
}
