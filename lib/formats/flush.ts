// Flushes an open file to the disk, also under Yarn's Plug'n'Play.

import { fsync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { promisify } from "node:util";

/** As `handle.sync()`, which the file handles of Plug'n'Play (up to Yarn 4.18) do not have. */
export function flush(handle: FileHandle): Promise<void> {
  return process.versions.pnp === undefined ? handle.sync() : promisify(fsync)(handle.fd);
}
