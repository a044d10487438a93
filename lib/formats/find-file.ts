// Finds a file that may have one of several usual names, in one of several folders.

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { ioError, systemCode } from "../core/file-errors";

/**
 * The first of `names` in the first of `directories` that exists.
 *
 * @throws ERR_IO that lists the names and directories, or where one cannot be looked at
 */
export async function findFile(directories: readonly string[], names: readonly string[], what: string): Promise<string> {
  for (const directory of directories) {
    for (const name of names) {
      const path = join(directory, name);
      try {
        await stat(path);
        return path;
      } catch (error) {
        const code = systemCode(error);
        if (code !== "ENOENT" && code !== "ENOTDIR") throw ioError("read", path, error);
      }
    }
  }
  throw ioError("find", what, `none of ${names.join(", ")} in ${directories.join(", ")}`);
}
