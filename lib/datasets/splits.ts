// Which parts of a data set to read: an option that every reader of this folder has.

import { fail, oneOf } from "../checks";
import { LibtorchOodError } from "../errors";
import type { Dataset } from "./dataset";

export type SplitName = "train" | "test";

export interface SplitOptions<S extends SplitName = SplitName> {
  /** What to read; a file of these that is missing is an error. Default: both. */
  splits?: readonly S[];
}

/** Reads the splits asked for, one after the other so that only one file is held beside the result. */
export async function readSplits<S extends SplitName>(
  splits: readonly S[] | undefined,
  read: (split: SplitName) => Promise<Dataset>,
): Promise<Record<S, Dataset>> {
  const result: Partial<Record<SplitName, Dataset>> = {};
  for (const split of checkSplits(splits)) result[split] = await read(split);
  return result as Record<S, Dataset>;
}

function checkSplits(splits: readonly SplitName[] = ["train", "test"]): readonly SplitName[] {
  const given: unknown = splits;
  if (!Array.isArray(given) || given.length === 0) fail("ERR_OPTION", "splits", 'an array of "train" and "test"', given);
  splits.forEach((split, index) => oneOf(split, `splits[${index}]`, ["train", "test"]));
  if (new Set(splits).size !== splits.length) throw new LibtorchOodError("ERR_OPTION", "splits: expected each split once, found one twice");
  return splits;
}
