// Makes a directory and those above it. Node's own recursive mkdir never ends where a file system says that an existing parent is missing, as /proc
// does.

import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { ioError } from "./file-errors";

/**
 * Makes the directory, as {@link makeDirectory} does.
 *
 * @throws ERR_IO where that fails
 */
export function requireDirectory(path: string): void {
  try {
    makeDirectory(path, 0o777);
  } catch (error) {
    throw ioError("make", path, error);
  }
}

/**
 * Makes the directory and those above it that are missing.
 *
 * @param mode - mode of the directories that are made, as far as the umask leaves it
 * @param made - takes each directory that is made, the outermost first, also where a later one fails
 */
export function makeDirectory(path: string, mode: number, made: string[] = []): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  if (dirname(path) !== path) makeDirectory(dirname(path), mode, made);
  try {
    mkdirSync(path, { mode });
    made.push(path);
  } catch (error) {
    const madeMeanwhile = (error as NodeJS.ErrnoException).code === "EEXIST" && statSync(path, { throwIfNoEntry: false })?.isDirectory();
    if (!madeMeanwhile) throw error;
  }
}
