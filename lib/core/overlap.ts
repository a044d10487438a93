// Decides what an evaluation makes of inputs that were already trained on or fitted to: how many are tolerated, and what the warning says.

import { LibtorchOodError } from "./errors";

/** Which inputs of a set were seen before, in training or fitting. */
export interface Overlap {
  /** Indices of the inputs that were seen before, ascending. */
  readonly indices: readonly number[];
  /**
   * Number of inputs that could be checked. It is less than the number of inputs only where more than 65,536 different ones had been seen, of which a
   * sample is kept.
   */
  readonly checked: number;
}

/** Published data sets repeat a few images. An evaluation that repeats more than this share of its own is refused. */
const toleratedShare = 0.01;

const overlapEffects = {
  flatters: "the numbers flatter",
  worsens: "they score higher than they should, and the numbers are worse than the truth",
} as const;

export type OverlapEffect = keyof typeof overlapEffects;

/**
 * A warning where an evaluation has inputs that were seen before; undefined where it has none.
 *
 * @param name - name of the set that is evaluated on
 * @param use - what its inputs must not have been: "trained on"
 * @param noun - what the set consists of
 * @param effect - effect on the numbers: inputs that were seen score higher, which flatters where they are in distribution, and worsens where they
 *   are out of distribution
 * @param remedy - what to do about it, for the error
 * @throws ERR_OPTION where more than 1 in 100 were seen before, unless `allowed`
 */
export function judgeOverlap(
  name: string,
  { indices, checked }: Overlap,
  use: string,
  { allowed, remedy, effect, noun }: { allowed: boolean; remedy: string; effect: OverlapEffect; noun: "images" | "inputs" },
): string | undefined {
  if (indices.length === 0) return undefined;
  const found = `${indices.length} of ${checked} (the first is number ${indices[0]})`;
  if (!allowed && indices.length > toleratedShare * checked) {
    throw new LibtorchOodError("ERR_OPTION", `${name}: expected ${noun} that were not ${use}, found ${found} that were; ${remedy}`);
  }
  return `${name}: ${found} ${noun} were ${use}: ${overlapEffects[effect]}`;
}
