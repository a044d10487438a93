// Renumbers the labels of features in files to the classes of another.

import { labelsFor } from "../data/class-labels";
import { LibtorchOodError } from "../core/errors";
import type { Labels } from "../core/labels";
import { Tensor } from "../native/tensor";

/**
 * Labels of features in the numbering of other classes, by name; what has to be said of it goes to `warn`.
 *
 * @throws ERR_RANGE for a label without a name
 */
export function labelsIn(
  { labels, classNames: own }: { labels: Labels | undefined; classNames: readonly string[] | undefined },
  classNames: readonly string[] | undefined,
  where: string,
  warn: (text: string) => void,
): Labels | undefined {
  if (labels === undefined || own === undefined || classNames === undefined) return labels;
  const numbers = Int32Array.from(Tensor.is(labels) ? labels.toArray() : Array.from(labels as ArrayLike<number>), Number);
  requireNamed(numbers, own, where);
  const found = labelsFor({ labels: numbers, classNames: [...own] }, classNames, where);
  for (const warning of found.warnings) warn(warning);
  return found.labels;
}

/** @throws ERR_RANGE */
export function requireNamed(labels: Int32Array, classNames: readonly string[], where: string): void {
  const index = labels.findIndex((label) => classNames[label] === undefined);
  if (index < 0) return;
  const expected = `expected labels from 0 to ${classNames.length - 1}, as there are names in classes.txt`;
  throw new LibtorchOodError("ERR_RANGE", `${where}: ${expected}, found ${labels[index]} in row ${index}`);
}
