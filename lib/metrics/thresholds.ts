// The staircase behind every threshold curve: how many positives and negatives lie at or above each distinct score.

/** One entry per distinct score, from the highest down. */
export interface Staircase {
  readonly thresholds: Float64Array;
  /** Positives with a score of at least the threshold. */
  readonly truePositives: Float64Array;
  /** Negatives with a score of at least the threshold. */
  readonly falsePositives: Float64Array;
}

/** The staircase of two lists that are sorted ascending. A tie is one step, never split. */
export function staircase(positives: Float64Array, negatives: Float64Array): Staircase {
  const thresholds: number[] = [];
  const truePositives: number[] = [];
  const falsePositives: number[] = [];
  let p = positives.length;
  let n = negatives.length;
  while (p > 0 || n > 0) {
    const threshold = Math.max(p > 0 ? (positives[p - 1] as number) : -Infinity, n > 0 ? (negatives[n - 1] as number) : -Infinity);
    // "Not below" rather than "at least", so that the loop ends whatever it is given.
    while (p > 0 && !((positives[p - 1] as number) < threshold)) p--;
    while (n > 0 && !((negatives[n - 1] as number) < threshold)) n--;
    thresholds.push(threshold);
    truePositives.push(positives.length - p);
    falsePositives.push(negatives.length - n);
  }
  return {
    thresholds: Float64Array.from(thresholds),
    truePositives: Float64Array.from(truePositives),
    falsePositives: Float64Array.from(falsePositives),
  };
}

/** The negated scores, still ascending: out-of-distribution as the positive class. */
export function negated(sorted: Float64Array): Float64Array {
  const turned = new Float64Array(sorted.length);
  for (let i = 0; i < sorted.length; i++) turned[i] = -(sorted[sorted.length - 1 - i] as number);
  return turned;
}
