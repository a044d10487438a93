// Bootstrap interval of any metric that compares two sets of scores: the spread that a single run leaves.

import { finite, fail, integer, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { auroc } from "./auroc";
import { resample, seededUint32 } from "../core/random";
import { sortedNumbers, type NumberList } from "./scores";

/** Options of {@link bootstrapInterval}. */
export interface BootstrapOptions {
  /** The metric; default {@link auroc}. It is given two resampled sets of the original sizes. */
  statistic?: (inDistribution: Float64Array, outOfDistribution: Float64Array) => number;
  /** Number of resamples; default 1000. */
  resamples?: number;
  /** Coverage of the interval, in (0, 1); default 0.95. */
  level?: number;
  /** Default 0. */
  seed?: number;
}

/** A metric with its bootstrap interval. */
export interface BootstrapInterval {
  /** The metric of the sets themselves. */
  readonly value: number;
  /** Lower end of the interval. */
  readonly lower: number;
  /** Upper end of the interval. */
  readonly upper: number;
}

/**
 * Percentile bootstrap interval (Efron 1979): both sets are drawn again with replacement, each at its own size. It covers the
 * choice of test images, not the choice of training seed; for that run several seeds and use `summary`.
 *
 * @throws ERR_SHAPE, ERR_OPTION; ERR_NON_FINITE, also where the statistic gives NaN or infinity; ERR_RANGE for a level outside (0, 1) or too few resamples for it
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
