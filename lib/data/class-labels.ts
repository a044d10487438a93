// Labels of one data set in the numbering of another's classes. Classes are matched by name, because the same classes may be numbered in another
// order, or be only some of them.

import type { Dataset } from "./dataset";

type Labelled = Pick<Dataset, "labels" | "classNames">;

/**
 * The labels of a data set in the numbering of a network's classes, matched by name. Labels of other classes say nothing about the network's answers.
 *
 * @param classNames - names of the network's classes; undefined where it has none, and then the numbers count
 * @returns the labels, or the first class that the network does not have
 */
export function labelsAmong(data: Labelled, classNames: readonly string[] | undefined): Int32Array | { missing: string } {
  if (classNames === undefined) return data.labels;
  const numbers = new Map(classNames.map((name, label) => [name, label]));
  const missing = data.classNames.find((name) => !numbers.has(name));
  if (missing !== undefined) return { missing };
  const numberOf = data.classNames.map((name) => numbers.get(name) as number);
  return data.labels.map((label) => numberOf[label] as number);
}

/** As {@link labelsAmong}. Where names do not match, the result is the data set's own numbers and a warning. */
export function labelsFor(data: Labelled, classNames: readonly string[], where: string): { labels: Int32Array; warnings: string[] } {
  if (data.classNames.every((name, label) => name === String(label))) return { labels: data.labels, warnings: [] }; // it has no names
  const labels = labelsAmong(data, classNames);
  if (!("missing" in labels)) return { labels, warnings: [] };
  const found = `${JSON.stringify(labels.missing)}, which is none of the network's`;
  return { labels: data.labels, warnings: [`${where}: found the class ${found}: its classes are taken by their numbers, not by name`] };
}
