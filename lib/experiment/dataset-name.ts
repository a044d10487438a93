// Data sets as a configuration names them: one that the library reads, or a folder of images, `folder:PATH` or `NAME=PATH`.

import { basename } from "node:path";

export interface DatasetReference {
  /** What rows, tables and figures call it. */
  readonly name: string;
  /** As it was given, to be taken from the data directory; undefined for a data set that the library reads. */
  readonly folder: string | undefined;
}

/** What a row calls the parts of the in-distribution set. */
const parts = ["train", "validation", "test"];

export function datasetReference(text: string): DatasetReference {
  const [, given, path] = /^(?:([^=:/\\]+)=)?(?:folder:)?(.+)$/s.exec(text) as unknown as [string, string | undefined, string];
  if (given === undefined && path === text) return { name: text, folder: undefined };
  return { name: given ?? basename(path), folder: path };
}

/** Why a folder cannot go by its name; undefined where it can. @param known names of the data sets that the library reads */
export function nameProblem({ name, folder }: DatasetReference, known: readonly string[]): string | undefined {
  if (folder === undefined) return undefined;
  if (["", ".", ".."].includes(name.trim())) return `a name for ${folder}, as NAME=${folder}`;
  if (parts.includes(name)) return `another name than ${parts.join(", ")}, as NAME=${folder}`;
  return known.includes(name) ? `another name than that of a data set, as NAME=${folder}` : undefined;
}
