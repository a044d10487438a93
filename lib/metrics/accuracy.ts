// Accuracy: the share of correct predictions.

import { sameLength, wholeNumbers, type ClassList } from "./scores";

/**
 * Share of predictions that equal their label.
 *
 * @param predictions - class indices, length N
 * @param labels - class indices, length N
 * @returns a number from 0 to 1
 * @throws ERR_SHAPE for empty lists and unequal lengths; ERR_DTYPE for anything but whole numbers; ERR_RANGE for a number below 0 or above 2^53 − 1
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * metrics.accuracy([0, 1, 1, 2], [0, 1, 2, 2]); // 0.75
 */
export function accuracy(predictions: ClassList, labels: ClassList): number {
  const predicted = wholeNumbers(predictions, "predictions");
  const wanted = wholeNumbers(labels, "labels");
  sameLength(predicted, "predictions", wanted, "labels");
  let right = 0;
  for (let i = 0; i < predicted.length; i++) if (predicted[i] === wanted[i]) right++;
  return right / predicted.length;
}
