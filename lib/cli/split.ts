// Splits a data set by shares and a seed: "train", "fit" and "evaluate" with the same shares and seed make the same parts.

import type { Dataset } from "../data";
import { randomPermutation } from "../core/random-permutation";
import { LibtorchOodError } from "../core/errors";

/** Shares of all images, between 0 and 1; undefined for no such part. */
export interface Shares {
  readonly validation?: number | undefined;
  readonly calibration?: number | undefined;
  readonly test?: number | undefined;
}

export type SplitParts = Partial<Record<keyof Shares, Dataset>> & { readonly train: Dataset };

/**
 * The parts one after another in a random order, each in the order of the images; the rest is for training. By itself a share is the validation part of
 * `Dataset.split`.
 *
 * @throws ERR_RANGE where a part would have no image
 */
export function splitByShares(data: Dataset, shares: Shares, seed: number): SplitParts {
  const order = randomPermutation(data.length, seed);
  const parts: Partial<Record<keyof Shares, Dataset>> = {};
  let start = 0;
  for (const name of ["validation", "calibration", "test"] as const) {
    const share = shares[name];
    if (share === undefined) continue;
    const count = share > 0 && share < 1 ? Math.round(share * data.length) : 0;
    if (count < 1 || start + count >= data.length) {
      const expected = "a share that leaves images in every part, and some to train on";
      throw new LibtorchOodError("ERR_RANGE", `--${name}: expected ${expected}, found ${share} of ${data.length} images`);
    }
    parts[name] = data.subset(order.slice(start, start + count).sort());
    start += count;
  }
  return { ...parts, train: start === 0 ? data : data.subset(order.slice(start).sort()) };
}
