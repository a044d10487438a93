// Temperature scaling: finds, on validation logits, the one number that makes softmax confidence fit accuracy.

import { finite, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { extremeExponent, timesPower } from "./magnitude";
import { finiteMatrix, wholeNumbers, type ClassList, type NumberMatrix } from "./scores";

/** Options of {@link fitTemperature}. */
export interface TemperatureOptions {
  /** The lowest temperature of the search, more than 0. Default 0.01. */
  minimum?: number;
  /** The highest temperature of the search, more than `minimum`. Default 100. */
  maximum?: number;
}

/** The temperature that {@link fitTemperature} has found. */
export interface TemperatureFit {
  /** The temperature: divide the logits by it before the softmax. */
  readonly temperature: number;
  /** Mean negative log-likelihood, in nats, at temperature 1. */
  readonly nllBefore: number;
  /** Mean negative log-likelihood, in nats, at the temperature found. */
  readonly nllAfter: number;
  /** Whether the best temperature lies outside the search range. When every validation label is predicted correctly, for example, it is 0. */
  readonly atBound: boolean;
}

/**
 * The temperature T that minimises the mean negative log-likelihood of softmax(logits / T) (Guo et al. 2017). In b = 1/T the likelihood is convex.
 * Newton's method, kept inside a shrinking bracket, therefore finds the one minimum to full precision.
 *
 * @param logits - validation logits, [N, C], not those of images that the network was trained on
 * @param labels - class indices, length N
 * @param options - search range
 * @throws ERR_SHAPE where data and shape of the logits do not agree, or there is not one label per row; ERR_NON_FINITE for NaN or infinity; ERR_DTYPE
 *   where the logits are no matrix of numbers, or a label is no whole number; ERR_OPTION for an unknown option; ERR_RANGE for a label outside 0 to C
 *   − 1, for bounds that are not 0 < minimum < maximum, and for a likelihood beyond float64
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * const logits = { data: [4, 0, 4, 0, 0, 4, 4, 0], shape: [4, 2] };
 * const { temperature } = metrics.fitTemperature(logits, [0, 0, 1, 1]); // 3.64…: three of four are correct, not 98 %
 */
export function fitTemperature(logits: NumberMatrix, labels: ClassList, options: TemperatureOptions = {}): TemperatureFit {
  const { minimum = 0.01, maximum = 100 } = optionsObject(options, "options", ["minimum", "maximum"]);
  finite(minimum, "minimum", Number.MIN_VALUE);
  finite(maximum, "maximum", Number.MIN_VALUE);
  if (minimum >= maximum) throw new LibtorchOodError("ERR_RANGE", `minimum: expected less than maximum (${maximum}), found ${minimum}`);
  const { data, rows, columns } = finiteMatrix(logits, "logits");
  const wanted = wholeNumbers(labels, "labels", columns);
  if (wanted.length !== rows)
    throw new LibtorchOodError("ERR_SHAPE", `labels: expected ${rows} values as logits has rows, found ${wanted.length}`);

  const exponent = inUnitsOfSpread(data, columns);
  const at = (inverse: number): Likelihood => likelihood(data, columns, wanted, inverse);
  // Inverse temperatures in the units of the logits here; a bound beyond a number is as good as the largest one.
  const inverseOf = (temperature: number): number =>
    Math.max(Number.MIN_VALUE, Math.min(Number.MAX_VALUE, timesPower(1, exponent) / temperature));
  const nllAt = (inverse: number, temperature: number): number => {
    const { value } = at(inverse);
    if (Number.isFinite(value)) return value;
    throw new LibtorchOodError("ERR_RANGE", `logits: the negative log-likelihood at temperature ${temperature} overflows float64`);
  };
  const nllBefore = nllAt(inverseOf(1), 1);
  const finish = (inverse: number, temperature: number, atBound: boolean): TemperatureFit => ({
    temperature,
    nllBefore,
    nllAfter: nllAt(inverse, temperature),
    atBound,
  });
  const start = Math.min(maximum, Math.max(minimum, 1));
  let [low, high, inverse] = [inverseOf(maximum), inverseOf(minimum), inverseOf(start)];
  const { flat, right } = shape(data, columns, wanted);
  if (flat) return finish(inverse, start, false); // constant rows, where every temperature is as good
  // Where no label has a larger logit beside it the likelihood grows without end, by less than a number can say.
  if (right || at(high).slope < 0) return finish(high, minimum, true);
  if (at(low).slope > 0) return finish(low, maximum, true);
  for (let step = 0; step < 200; step++) {
    const { slope, curvature } = at(inverse);
    if (slope === 0) break;
    if (slope > 0) high = inverse;
    else low = inverse;
    const newton = inverse - slope / curvature;
    const next = newton > low && newton < high ? newton : Math.sqrt(low) * Math.sqrt(high);
    if (Math.abs(next - inverse) <= 4 * Number.EPSILON * inverse) break;
    inverse = next;
  }
  const fitted = Math.max(minimum, Math.min(maximum, timesPower(1 / inverse, exponent)));
  return finish(inverse, fitted, false);
}

/**
 * Subtracts the largest logit from each row, in place, on which the likelihood does not depend. Divides by a power of two where rows are so far or so
 * near apart that products of differences lose their digits.
 *
 * @returns the exponent
 */
function inUnitsOfSpread(data: Float64Array, columns: number): number {
  const tops = Float64Array.from({ length: data.length / columns }, (_, row) =>
    data.subarray(row * columns, (row + 1) * columns).reduce((top, x) => Math.max(top, x)),
  );
  const topOf = (i: number): number => tops[Math.floor(i / columns)] as number;
  const halvings = data.some((x, i) => topOf(i) - x === Infinity) ? 1 : 0;
  let widest = 0;
  for (let i = 0; i < data.length; i++) {
    data[i] = (data[i] as number) / 2 ** halvings - topOf(i) / 2 ** halvings;
    widest = Math.max(widest, -(data[i] as number));
  }
  const exponent = extremeExponent(widest);
  for (let i = 0; i < data.length; i++) data[i] = timesPower(data[i] as number, -exponent);
  return exponent + halvings;
}

/** Whether all logits of each row are equal, and whether each label's logit is the largest of its row. */
function shape(data: Float64Array, columns: number, labels: ArrayLike<number>): { flat: boolean; right: boolean } {
  const right = Array.from(labels).every((label, row) => data[row * columns + label] === 0);
  return { flat: data.every((below) => below === 0), right };
}

interface Likelihood {
  value: number;
  slope: number;
  curvature: number;
}

/**
 * Mean negative log-likelihood at b = 1/T with its two derivatives: mean of (E[z] - z_y) and of Var[z] under softmax(bz).
 *
 * @param data logits less the largest of their row
 */
function likelihood(data: Float64Array, columns: number, labels: ArrayLike<number>, inverse: number): Likelihood {
  let value = 0;
  let slope = 0;
  let curvature = 0;
  for (let row = 0; row < labels.length; row++) {
    const start = row * columns;
    const best = data.indexOf(0, start);
    let others = 0;
    let first = 0;
    let second = 0;
    for (let i = start; i < start + columns; i++) {
      if (i === best) continue;
      const below = data[i] as number;
      const weight = Math.exp(inverse * below);
      others += weight;
      first += weight * below;
      second += weight * below * below;
    }
    const labelBelow = data[start + (labels[row] as number)] as number;
    const total = 1 + others;
    const mean = first / total;
    value += (Math.log1p(others) - inverse * labelBelow) / labels.length;
    slope += mean - labelBelow;
    curvature += Math.max(0, second / total - mean * mean);
  }
  return { value, slope: slope / labels.length, curvature: curvature / labels.length };
}
