// Checks whether a file or a folder can be written, before the work whose result it will hold.

import { rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { isLibtorchOodError } from "../core/errors";
import { openAtomicFile } from "./atomic-write";
import { ioError } from "../core/file-errors";
import { makeDirectory } from "../core/make-directory";

/**
 * Looks whether {@link openAtomicFile} can write a file of this path: its folder is there and takes one, and the path itself is no folder. Leaves
 * nothing behind.
 *
 * @throws ERR_IO
 */
export async function requireWritable(path: string): Promise<void> {
  if (path === "" || /[/\\]$/.test(path))
    throw ioError("write", path === "" ? "a file without a name" : path, "expected the path of a file");
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) throw ioError("write", path, "it is a folder");
  const file = await openAtomicFile(path);
  await file.discard();
}

/**
 * Looks whether files can be written into a folder, which is made where it is not there. Leaves nothing behind.
 *
 * @param file - name of one
 * @throws ERR_IO
 */
export async function requireWritableFolder(path: string, file: string): Promise<void> {
  if (path === "") throw ioError("write", "a folder without a name", "expected the path of a folder");
  const made: string[] = [];
  try {
    makeDirectory(path, 0o777, made);
    await requireWritable(join(path, file));
  } catch (error) {
    throw isLibtorchOodError(error) ? error : ioError("make", path, error);
  } finally {
    for (const folder of made.reverse()) await rmdir(folder).catch(() => undefined); // another's files are in it now
  }
}
