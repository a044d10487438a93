// Parses data sets as a configuration names them: one that the library reads, or a folder of images as `folder:PATH` or `NAME=PATH`.

import { basename } from "node:path";

export interface DatasetReference {
  /** Name in rows, tables and figures. */
  readonly name: string;
  /** Path as it was given, relative to the data directory; undefined for a data set that the library reads. */
  readonly folder: string | undefined;
}

/** Names of the parts of the in-distribution set in a row. */
const parts = ["train", "validation", "test"];

export function datasetReference(text: string): DatasetReference {
  const [, given, path] = /^(?:([^=:/\\]+)=)?(?:folder:)?(.+)$/s.exec(text) as unknown as [string, string | undefined, string];
  if (given === undefined && path === text) return { name: text, folder: undefined };
  return { name: given ?? basename(path), folder: path };
}

/** Why a folder cannot have its name; undefined if it can. @param known - names of the data sets that the library reads */
export function nameProblem({ name, folder }: DatasetReference, known: readonly string[]): string | undefined {
  if (folder === undefined) return undefined;
  if (["", ".", ".."].includes(name.trim())) return `a name for ${folder}, as NAME=${folder}`;
  if (parts.includes(name)) return `another name than ${parts.join(", ")}, as NAME=${folder}`;
  return known.includes(name) ? `another name than that of a data set, as NAME=${folder}` : undefined;
}
