// Area under the ROC curve as a rank statistic: exact under ties and at any magnitude of the scores.

import { sortedNumbers, type NumberList } from "./scores";

/**
 * AUROC of telling in-distribution from out-of-distribution scores: the probability that an in-distribution score is
 * the higher one, ties counted one half (Mann-Whitney U with mid-ranks, divided by the number of pairs). In-distribution
 * is the positive class, so scores are such that higher means more in-distribution; for the opposite sense the result
 * is 1 - AUROC. Only comparisons of the float64 scores are made: no sigmoid, no grid of thresholds.
 *
 * @param inDistribution scores of in-distribution inputs, any length from 1
 * @param outOfDistribution scores of out-of-distribution inputs, any length from 1
 * @returns a number from 0 to 1; the pair counts behind it are exact up to 2^52 pairs
 * @throws ERR_SHAPE for an empty list, ERR_NON_FINITE for NaN or infinity, ERR_DTYPE for anything but numbers
 * @example
 * metrics.auroc([0.9, 0.8, 0.7], [0.7, 0.1]); // (6 - 0.5) / 6
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
