// Area under the ROC curve (AUROC) as a rank statistic: exact under ties and at any magnitude of the scores.

import { sortedNumbers, type NumberList } from "./scores";

/**
 * AUROC of telling in-distribution from out-of-distribution scores: the probability that an in-distribution score is the higher one, with ties
 * counted one half.
 *
 * In-distribution is the positive class, so that higher scores must mean more in-distribution. For the opposite sense the result is 1 − AUROC. The
 * result is the Mann-Whitney U with mid-ranks, divided by the number of pairs. It comes from comparisons of the float64 scores alone: there is no
 * sigmoid and no grid of thresholds.
 *
 * @param inDistribution - scores of in-distribution inputs, any length from 1
 * @param outOfDistribution - scores of out-of-distribution inputs, any length from 1
 * @returns a number from 0 to 1; the counts of pairs behind it are exact up to 2^52 pairs
 * @throws ERR_SHAPE for an empty list; ERR_NON_FINITE for NaN or infinity; ERR_DTYPE for anything but numbers
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * metrics.auroc([0.9, 0.8, 0.7], [0.7, 0.1]); // 5.5 of 6 pairs
 */
export function auroc(inDistribution: NumberList, outOfDistribution: NumberList): number {
  const id = sortedNumbers(inDistribution, "inDistribution");
  const ood = sortedNumbers(outOfDistribution, "outOfDistribution");
  let below = 0; // OoD scores under the current ID score
  let notAbove = 0; // ... under it or equal to it
  let twiceWins = 0;
  for (const score of id) {
    while (below < ood.length && (ood[below] as number) < score) below++;
    if (notAbove < below) notAbove = below;
    while (notAbove < ood.length && (ood[notAbove] as number) <= score) notAbove++;
    twiceWins += below + notAbove;
  }
  return twiceWins / 2 / (id.length * ood.length);
}
