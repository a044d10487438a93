// The parts of a data set to read: the option `splits` of the readers.

import { fail, oneOf } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { shortList } from "../core/lists";
import type { Dataset } from "./dataset";

/** The parts that most data sets are published in. */
export type SplitName = "train" | "test";

/** Which parts a reader reads. */
export interface SplitOptions<S extends string = SplitName> {
  /** The parts to read. A file that is missing is an error. Default `["train", "test"]`. */
  splits?: readonly S[];
}

/**
 * Reads the parts asked for, one after the other, so that only one file is held beside the result.
 *
 * @param names - the parts that there are
 */
export async function readSplits<S extends string>(
  splits: readonly S[] | undefined,
  read: (split: S) => Promise<Dataset>,
  names: readonly string[] = ["train", "test"],
): Promise<Record<S, Dataset>> {
  const result: Partial<Record<S, Dataset>> = {};
  for (const split of checkSplits(splits, names)) result[split] = await read(split);
  return result as Record<S, Dataset>;
}

function checkSplits<S extends string>(splits: readonly S[] | undefined, names: readonly string[]): readonly S[] {
  const given = shortList(splits ?? ["train", "test"], 100);
  if (given === undefined || given.length === 0) {
    fail("ERR_OPTION", "splits", `an array of ${names.map((name) => `"${name}"`).join(" and ")}`, splits);
  }
  given.forEach((split, index) => oneOf(split, `splits[${index}]`, names));
  if (new Set(given).size !== given.length) throw new LibtorchOodError("ERR_OPTION", "splits: expected each split once, found one twice");
  return given as S[];
}
