// Inputs of an evaluation that were trained on, or fitted to, before: how many are tolerated, and what is said of them.

import { LibtorchOodError } from "./errors";

/** Inputs that were seen before, among others. */
export interface Overlap {
  /** Their numbers, ascending. */
  readonly indices: readonly number[];
  /** Inputs of which it can be told whether they were: all, unless more than 65,536 different ones had been seen. */
  readonly checked: number;
}

/** Published data sets repeat an image now and then; an evaluation that repeats more than this share of its own is another matter. */
const toleratedShare = 0.01;

const overlapEffects = {
  flatters: "the numbers flatter",
  worsens: "they score higher than they should, and the numbers are worse than the truth",
} as const;

export type OverlapEffect = keyof typeof overlapEffects;

/**
 * A warning where an evaluation has inputs that were seen before; undefined where it has none.
 *
 * @param name - of the set that is evaluated on
 * @param use - what it is to be free of: "trained on"
 * @param noun - what it consists of
 * @param effect - on the numbers: inputs that were seen score higher, which flatters where they are in distribution, and not where they are out of distribution
 * @param remedy - what to do about it, for the error
 * @throws ERR_OPTION where more than 1 in 100 were, unless `allowed`
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
