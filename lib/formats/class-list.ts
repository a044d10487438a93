// Lists of class names, one a line: as users write them, and as `extract` writes them beside its arrays.

import { describe } from "../core/checks";
import { corruptFile } from "../core/file-errors";
import { readTextFile } from "./text-file";

/** Names of classes, one a line. @throws ERR_CORRUPT_FILE, also for none, or for one that comes twice; ERR_IO, ERR_ABORTED */
export async function readClassNames(path: string, signal?: AbortSignal): Promise<string[]> {
  const text = await readTextFile(path, "a list of class names", 1 << 24, { fromUser: true, signal });
  const names = text.split(/\r?\n/).filter((line) => line !== "");
  if (names.length === 0) throw corruptFile(path, "names of classes, one a line", "none");
  const known = new Set<string>();
  for (const name of names) {
    if (known.has(name)) throw corruptFile(path, "different class names", `${describe(name)} twice`);
    known.add(name);
  }
  return names;
}
