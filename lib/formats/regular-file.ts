// Opens a file that holds bytes (no directory, pipe or device) and reads an exact part of it.

import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { LibtorchOodError } from "../core/errors";
import { corruptFile, io, ioError } from "../core/file-errors";
import { pathText, type Path } from "./path-text";

/** One call to the operating system never moves more than this, so that closing waits for a moment only. */
const bytesPerCall = 64 * 1024 * 1024;

export interface RegularFile {
  readonly handle: FileHandle;
  /** Bytes, when it was opened. */
  readonly size: number;
}

/**
 * Opens a file for reading. The caller closes the handle.
 *
 * @param name - what error messages call it
 * @throws ERR_IO where it cannot be opened or is no regular file (opening a pipe does not wait for a writer)
 */
export async function openRegularFile(path: Path, name = pathText(path)): Promise<RegularFile> {
  // O_NONBLOCK is not defined on Windows; for a regular file it means nothing, for a pipe it prevents an endless wait.
  const handle = await io("open", name, open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)));
  try {
    const status = await io("read", name, handle.stat());
    if (!status.isFile())
      throw ioError("read", name, `expected a file, found ${status.isDirectory() ? "a directory" : "a pipe or device"}`);
    return { handle, size: status.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Fills `into` with the bytes of the file from `position` on.
 *
 * @throws ERR_CORRUPT_FILE where the file ends before, ERR_IO
 */
export async function readExactly(handle: FileHandle, path: string, position: number, into: Uint8Array): Promise<void> {
  for (let done = 0; done < into.length;) {
    const length = Math.min(bytesPerCall, into.length - done);
    const { bytesRead } = await io("read", path, handle.read(into, done, length, position + done));
    if (bytesRead === 0)
      throw corruptFile(path, `at least ${position + into.length} bytes`, `the end of the file at byte ${position + done}`);
    done += bytesRead;
  }
}

/** Zeroed memory of its own, starting at offset 0 of its ArrayBuffer. @throws ERR_OUT_OF_MEMORY */
export function allocateBytes(length: number, what: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(length);
  } catch (error) {
    throw new LibtorchOodError("ERR_OUT_OF_MEMORY", `${what}: cannot allocate ${length} bytes`, { cause: error });
  }
}
