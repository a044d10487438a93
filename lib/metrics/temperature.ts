// Temperature scaling: the one number that makes softmax confidence fit, found on validation logits.

import { finite, optionsObject } from "../checks";
import { LibtorchOodError } from "../errors";
import { finiteMatrix, wholeNumbers, type NumberList, type NumberMatrix } from "./scores";

export interface TemperatureOptions {
  /** Temperatures are searched from `minimum` to `maximum`; defaults 0.01 and 100. */
  minimum?: number;
  maximum?: number;
}

export interface TemperatureFit {
  /** Divide the logits by this before the softmax. */
  readonly temperature: number;
  /** Mean negative log-likelihood in nats at temperature 1 and at the fitted one. */
  readonly nllBefore: number;
  readonly nllAfter: number;
  /** True where the best temperature lies outside the search range, e.g. 0 when every validation label is right. */
  readonly atBound: boolean;
}

/**
 * The temperature T that minimises the mean negative log-likelihood of softmax(logits / T) (Guo et al. 2017). In b = 1/T the
 * likelihood is convex, so Newton's method kept inside a shrinking bracket finds the one minimum to full precision.
 *
 * @param logits validation logits [N, C], not those that the network was trained on
 * @param labels class indices, length N
 * @throws ERR_SHAPE, ERR_NON_FINITE, ERR_DTYPE; ERR_RANGE for labels outside 0 to C-1 or bounds that are not 0 < minimum < maximum
 */
export function fitTemperature(logits: NumberMatrix, labels: NumberList, options: TemperatureOptions = {}): TemperatureFit {
  const { minimum = 0.01, maximum = 100 } = optionsObject(options, "options", ["minimum", "maximum"]);
  finite(minimum, "minimum", Number.MIN_VALUE);
  finite(maximum, "maximum", Number.MIN_VALUE);
  if (minimum >= maximum) throw new LibtorchOodError("ERR_RANGE", `minimum: expected less than maximum (${maximum}), found ${minimum}`);
  const { data, rows, columns } = finiteMatrix(logits, "logits");
  const wanted = wholeNumbers(labels, "labels", columns);
  if (wanted.length !== rows)
    throw new LibtorchOodError("ERR_SHAPE", `labels: expected ${rows} values as logits has rows, found ${wanted.length}`);

  const at = (inverse: number): Likelihood => likelihood(data, columns, wanted, inverse);
  let low = 1 / maximum;
  let high = 1 / minimum;
  const before = at(1);
  const finish = (inverse: number, atBound: boolean): TemperatureFit => ({
    temperature: 1 / inverse,
    nllBefore: before.value,
    nllAfter: at(inverse).value,
    atBound,
  });
  let inverse = Math.min(high, Math.max(low, 1));
  if (at(inverse).slope === 0) return finish(inverse, false); // also constant rows, where every temperature is as good
  if (at(low).slope > 0) return finish(low, true);
  if (at(high).slope < 0) return finish(high, true);
  for (let step = 0; step < 200; step++) {
    const { slope, curvature } = at(inverse);
    if (slope === 0) break;
    if (slope > 0) high = inverse;
    else low = inverse;
    const newton = inverse - slope / curvature;
    const next = newton > low && newton < high ? newton : Math.sqrt(low * high);
    if (Math.abs(next - inverse) <= 4 * Number.EPSILON * inverse) break;
    inverse = next;
  }
  return finish(inverse, false);
}

interface Likelihood {
  value: number;
  slope: number;
  curvature: number;
}

/** Mean negative log-likelihood at b = 1/T with its two derivatives: mean of (E[z] - z_y) and of Var[z] under softmax(bz). */
function likelihood(data: Float64Array, columns: number, labels: ArrayLike<number>, inverse: number): Likelihood {
  let value = 0;
  let slope = 0;
  let curvature = 0;
  for (let row = 0; row < labels.length; row++) {
    const start = row * columns;
    let top = -Infinity;
    for (let c = 0; c < columns; c++) top = Math.max(top, data[start + c] as number);
    let total = 0;
    let first = 0;
    let second = 0;
    for (let c = 0; c < columns; c++) {
      const below = (data[start + c] as number) - top;
      const weight = Math.exp(inverse * below);
      total += weight;
      first += weight * below;
      second += weight * below * below;
    }
    const labelBelow = (data[start + (labels[row] as number)] as number) - top;
    const mean = first / total;
    value += Math.log(total) - inverse * labelBelow;
    slope += mean - labelBelow;
    curvature += Math.max(0, second / total - mean * mean);
  }
  return {
    value: value / labels.length,
    slope: slope / labels.length,
    curvature: curvature / labels.length,
  };
}
