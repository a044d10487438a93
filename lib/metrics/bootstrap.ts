// Bootstrap interval of a metric of two sets of scores: the uncertainty that comes from the choice of test images.

import { finite, fail, integer, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { auroc } from "./auroc";
import { resample, seededUint32 } from "../core/random";
import { sortedNumbers, type NumberList } from "./scores";

/** Options of {@link bootstrapInterval}. */
export interface BootstrapOptions {
  /** The metric. It is called with two resampled sets of the original sizes, in no particular order. Default {@link auroc}. */
  statistic?: (inDistribution: Float64Array, outOfDistribution: Float64Array) => number;
  /** Number of resamples, at least 2 / (1 − level) and at most 10 million. Default 1000. */
  resamples?: number;
  /** Coverage of the interval, in (0, 1). Default 0.95. */
  level?: number;
  /** Seed of the resampling, integer, 0 to 2^32 − 1. The same seed gives the same interval on every machine. Default 0. */
  seed?: number;
}

/** A metric with its bootstrap interval. */
export interface BootstrapInterval {
  /** The metric of the original sets. */
  readonly value: number;
  /** Lower end of the interval. */
  readonly lower: number;
  /** Upper end of the interval. */
  readonly upper: number;
}

/**
 * Percentile bootstrap interval (Efron 1979): both sets are drawn again with replacement, each at its own size. The interval covers the choice of
 * test images. It does not cover the choice of the training seed: for that, run several seeds and use {@link summary}.
 *
 * @param inDistribution - scores of in-distribution inputs, any length from 1
 * @param outOfDistribution - scores of out-of-distribution inputs, any length from 1
 * @param options - metric, number of resamples, coverage, seed
 * @throws ERR_SHAPE for an empty list; ERR_NON_FINITE for NaN or infinity in the scores, and where the metric returns one; ERR_DTYPE for anything but
 *   numbers; ERR_OPTION where an option is unknown or of the wrong type, and where the metric returns no number; ERR_RANGE for a level outside (0,
 *   1), for a number of resamples outside its range, and for a seed outside its range
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * const { value, lower, upper } = metrics.bootstrapInterval([0.9, 0.8, 0.7, 0.6], [0.65, 0.1, 0.3], { seed: 1 });
 * console.log(`AUROC ${value} (${lower} to ${upper})`);
 */
export function bootstrapInterval(
  inDistribution: NumberList,
  outOfDistribution: NumberList,
  options: BootstrapOptions = {},
): BootstrapInterval {
  const known = ["statistic", "resamples", "level", "seed"] as const;
  const { statistic = auroc, resamples = 1000, level = 0.95, seed = 0 } = optionsObject(options, "options", known);
  if (typeof statistic !== "function") fail("ERR_OPTION", "statistic", "a function", statistic);
  integer(seed, "seed", 0, 0xffffffff);
  finite(level, "level", 0, 1);
  integer(resamples, "resamples", 1, 10_000_000);
  if (level === 0 || level === 1) throw new LibtorchOodError("ERR_RANGE", `level: expected between 0 and 1, found ${level}`);
  const fewest = Math.ceil(2 / (1 - level) - 1e-9);
  if (resamples < fewest) {
    throw new LibtorchOodError("ERR_RANGE", `resamples: expected at least ${fewest} for level ${level}, found ${resamples}`);
  }
  const id = sortedNumbers(inDistribution, "inDistribution");
  const ood = sortedNumbers(outOfDistribution, "outOfDistribution");
  const random = seededUint32(seed);
  const idSample = new Float64Array(id.length);
  const oodSample = new Float64Array(ood.length);
  const values = new Float64Array(resamples);
  for (let i = 0; i < resamples; i++) {
    resample(id, idSample, random);
    resample(ood, oodSample, random);
    values[i] = checked(statistic(idSample, oodSample));
  }
  values.sort();
  return {
    value: checked(statistic(id, ood)),
    lower: quantile(values, (1 - level) / 2),
    upper: quantile(values, (1 + level) / 2),
  };
}

function checked(value: number): number {
  return finite(value, "statistic(…)");
}

/** Linear interpolation between order statistics (numpy's default). */
function quantile(sorted: Float64Array, share: number): number {
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below] as number;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  const part = position - below;
  return high - low < Infinity ? low + (high - low) * part : low * (1 - part) + high * part;
}
