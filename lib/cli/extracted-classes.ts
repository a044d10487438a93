// Reads the class names beside features in files, and renumbers the labels of one such folder to the classes of another.

import { stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { labelsFor } from "../data/class-labels";
import { LibtorchOodError } from "../core/errors";
import { corruptFile, systemCode } from "../core/file-errors";
import type { Labels } from "../core/labels";
import { Tensor } from "../native/tensor";
import { recordedLists } from "./extraction-arrays";
import { isAsRecorded, readRecord, recordName } from "./extraction-record";
import { readClassNames } from "./extracted";

/**
 * The names of the labels as `extract` writes them beside its arrays, `classes.txt` in a folder or `FILE.classes.txt`; undefined where there are none.
 *
 * @throws ERR_CORRUPT_FILE where they are not those of the run that wrote the arrays, or no names; ERR_IO
 */
export async function readClassesBeside(path: string): Promise<string[] | undefined> {
  const isFolder = await stat(path).then(
    (status) => status.isDirectory(),
    () => false,
  );
  const ending = extname(path);
  if (!isFolder && ending.toLowerCase() !== ".safetensors") return undefined;
  const list = isFolder ? join(path, "classes.txt") : `${path.slice(0, -ending.length)}.classes.txt`;
  const isThere = await stat(list).then(
    () => true,
    (error: unknown) => systemCode(error) !== "ENOENT",
  );
  if (!isThere) return undefined;
  const names = await readClassNames(list);
  const record = isFolder ? (await readRecord(path))?.files : await recordedLists(path);
  const recorded = record !== undefined && Object.hasOwn(record, "classes.txt") ? record["classes.txt"] : undefined;
  if (recorded !== undefined && !(await isAsRecorded(list, recorded))) {
    const advice = isFolder ? `; if you changed it yourself, remove ${recordName}` : "";
    throw corruptFile(list, "what the run that wrote the arrays wrote", `another content${advice}`);
  }
  return names;
}

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
