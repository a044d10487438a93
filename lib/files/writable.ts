// Whether a file could be written, asked before the work whose result it is to hold.

import { stat } from "node:fs/promises";
import { openAtomicFile } from "./atomic-write";
import { ioError } from "./file-errors";

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
