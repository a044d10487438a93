// Spread over seeds, and correlation: what a table of several runs reports.

import { LibtorchOodError } from "../errors";
import { finiteNumbers, sameLength, type NumberList } from "./scores";

export interface Summary {
  readonly count: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  /** Sample standard deviation (ddof 1), what the seed paper prints after its ±; NaN for a single value. */
  readonly sd: number;
  /** Standard error of the mean, sd / sqrt(count); NaN for a single value. */
  readonly standardError: number;
}

/**
 * Minimum, maximum, mean, standard deviation and standard error of one number over several runs.
 *
 * @throws ERR_SHAPE for an empty list, ERR_NON_FINITE for NaN or infinity
 */
export function summary(values: NumberList): Summary {
  const list = finiteNumbers(values, "values");
  const count = list.length;
  const mean = meanOf(list);
  let squares = 0;
  for (const x of list) squares += (x - mean) ** 2;
  const sd = count === 1 ? NaN : Math.sqrt(squares / (count - 1));
  const sorted = list.sort();
  return {
    count,
    min: sorted[0] as number,
    max: sorted[count - 1] as number,
    mean,
    sd,
    standardError: sd / Math.sqrt(count),
  };
}

/**
 * Pearson's correlation coefficient, two-pass in float64.
 *
 * @returns a number from -1 to 1
 * @throws ERR_SHAPE for unequal lengths or fewer than two pairs, ERR_NON_FINITE; ERR_RANGE where a list is constant
 */
export function pearson(x: NumberList, y: NumberList): number {
  const a = finiteNumbers(x, "x", 2);
  const b = finiteNumbers(y, "y", 2);
  sameLength(a, "x", b, "y");
  centre(a, "x");
  centre(b, "y");
  let product = 0;
  for (let i = 0; i < a.length; i++) product += (a[i] as number) * (b[i] as number);
  return Math.min(1, Math.max(-1, product));
}

/** Subtracts the mean and divides by the norm, in place; scaled by the largest deviation first, so that no square overflows. */
function centre(values: Float64Array, name: string): void {
  if (values.every((x) => x === values[0])) {
    throw new LibtorchOodError("ERR_RANGE", `${name}: expected values that differ, found ${values.length} times ${values[0]}`);
  }
  const mean = meanOf(values);
  let largest = 0;
  for (const x of values) largest = Math.max(largest, Math.abs(x - mean));
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    const scaled = ((values[i] as number) - mean) / largest;
    values[i] = scaled;
    squares += scaled * scaled;
  }
  const norm = Math.sqrt(squares);
  for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) / norm;
}

/** The mean with its rounding error taken out by a second pass. */
function meanOf(values: Float64Array): number {
  let mean = 0;
  for (const x of values) mean += x / values.length;
  let rest = 0;
  for (const x of values) rest += (x - mean) / values.length;
  return mean + rest;
}
