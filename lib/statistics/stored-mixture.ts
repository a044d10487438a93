// Refuses a stored mixture whose numbers would make every density overflow, when the file is read and not when the first input comes.

import { setImmediate as turn } from "node:timers/promises";
import type { NativeNamedTensor } from "../native/surface";
import { corrupt } from "../formats/state-file";

/** About the square roots of float64's limits: numbers beyond have no square. `fit` keeps variances within those of normal numbers. */
const largest = 1.3e154;
const smallest = 1.4e-154;

/**
 * Checks the arrays of a stored mixture.
 *
 * @param state - count, mean, mean_low, and the covariances as they are stored: deviation, or a packed lower triangle for each class or all
 * @throws ERR_CORRUPT_FILE for standard deviations whose squares are beyond float64, and for means so far out that nothing can lie at them
 */
export async function requireFiniteDensities(state: readonly NativeNamedTensor[], where: string): Promise<void> {
  // Deviations of 0 are those of classes without samples, as older files have them.
  for (const { name, tensor } of state) {
    if (tensor.dtype !== "float64") continue;
    const factor = name.startsWith("cholesky.");
    if (!factor && !["deviation", "mean", "mean_low"].includes(name)) continue;
    if (factor) await turn(); // large ones come one by one
    const values = tensor.toTypedArray() as Float64Array;
    const far = values.findIndex((value) => Math.abs(value) > largest);
    if (far >= 0 && !(name === "mean" && hasRoom(state, values[far] as number))) {
      corrupt(where, `${name}, element ${far}`, `at most ${largest} in magnitude, whose square float64 holds`, values[far]);
    }
    const narrow = name === "deviation" ? values.findIndex((value) => value < smallest && value !== 0) : factor ? narrowAt(values) : -1;
    if (narrow >= 0) corrupt(where, `${name}, element ${narrow}`, `at least ${smallest}, whose square float64 holds`, values[narrow]);
  }
}

/** The place of a number that is too small on the diagonal of a packed lower triangle, where positive numbers stand; −1 for none. */
function narrowAt(packed: Float64Array): number {
  for (let row = 0, at = 0; at < packed.length; row++, at += row + 1) if ((packed[at] as number) < smallest) return at;
  return -1;
}

/** Features that far out differ by what float64 can tell apart there: some standard deviation must be as large. */
function hasRoom(state: readonly NativeNamedTensor[], mean: number): boolean {
  const spread = Math.abs(mean) * Number.EPSILON * 0.1;
  return state.some(
    ({ name, tensor }) => /^(cholesky\.|deviation$)/.test(name) && tensor.toTypedArray().some((value: number | bigint) => value > spread),
  );
}
