// Spread over seeds, and correlation: what a table of several runs reports.

import { LibtorchOodError } from "../core/errors";
import { timesPower, toOrdinary } from "./magnitude";
import { finiteNumbers, sameLength, type NumberList } from "./scores";

/** Count, range, mean and spread of some numbers. */
export interface Summary {
  /** Number of values. */
  readonly count: number;
  /** The smallest value. */
  readonly min: number;
  /** The largest value. */
  readonly max: number;
  /** Arithmetic mean. */
  readonly mean: number;
  /** Sample standard deviation (ddof 1), which the seed paper prints after its ±; NaN for a single value. */
  readonly sd: number;
  /** Standard error of the mean, sd / sqrt(count); NaN for a single value. */
  readonly standardError: number;
}

/**
 * Minimum, maximum, mean, standard deviation and standard error of one number over several runs.
 *
 * @param values - the number of each run, any length from 1
 * @throws ERR_SHAPE for an empty list; ERR_NON_FINITE for NaN or infinity; ERR_DTYPE for anything but numbers; ERR_RANGE where the standard deviation
 *   is beyond float64
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * const { mean, sd } = metrics.summary([1, 2, 3]); // 2 and 1
 */
export function summary(values: NumberList): Summary {
  const list = finiteNumbers(values, "values").sort();
  const count = list.length;
  const [min, max] = [list[0] as number, list[count - 1] as number];
  const exponent = toOrdinary(list);
  const mean = centre(list);
  const squares = list.reduce((sum, deviation) => sum + deviation * deviation, 0);
  const sd = count === 1 ? NaN : timesPower(Math.sqrt(squares / (count - 1)), exponent);
  if (sd === Infinity) throw new LibtorchOodError("ERR_RANGE", `values: their standard deviation overflows, from ${min} to ${max}`);
  return {
    count,
    min,
    max,
    mean: timesPower(mean, exponent),
    sd,
    standardError: sd / Math.sqrt(count),
  };
}

/**
 * Pearson's correlation coefficient, in two passes and float64.
 *
 * @param x - numbers, any length from 2
 * @param y - as many numbers
 * @returns a number from −1 to 1
 * @throws ERR_SHAPE for unequal lengths and for fewer than two pairs; ERR_NON_FINITE for NaN or infinity; ERR_DTYPE for anything but numbers;
 *   ERR_RANGE where all numbers of a list are equal
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * metrics.pearson([1, 2, 3], [2, 4, 7]); // 0.993…
 */
export function pearson(x: NumberList, y: NumberList): number {
  const a = finiteNumbers(x, "x", 2);
  const b = finiteNumbers(y, "y", 2);
  sameLength(a, "x", b, "y");
  standardise(a, "x");
  standardise(b, "y");
  let product = 0;
  for (let i = 0; i < a.length; i++) product += (a[i] as number) * (b[i] as number);
  return Math.min(1, Math.max(-1, product));
}

/** Subtracts the mean and divides by the norm, in place. The values are first divided by the largest deviation, so that no square overflows. */
function standardise(values: Float64Array, name: string): void {
  if (values.every((x) => x === values[0])) {
    throw new LibtorchOodError("ERR_RANGE", `${name}: expected values that differ, found ${values.length} times ${values[0]}`);
  }
  toOrdinary(values);
  centre(values);
  const largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    const scaled = (values[i] as number) / largest;
    values[i] = scaled;
    squares += scaled * scaled;
  }
  const norm = Math.sqrt(squares);
  for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) / norm;
}

/**
 * Subtracts the mean, in place. A first pass finds the mean, a second one what it lost to rounding. The mean lies between the smallest and the
 * largest value, so that equal values do not deviate.
 */
function centre(values: Float64Array): number {
  let mean = 0;
  let [least, largest] = [Infinity, -Infinity];
  for (const x of values) {
    mean += x / values.length;
    least = Math.min(least, x);
    largest = Math.max(largest, x);
  }
  mean = Math.min(largest, Math.max(least, mean));
  let rest = 0;
  for (const x of values) rest += (x - mean) / values.length;
  for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) - mean - rest;
  return mean + rest;
}
