// Reads text in UTF-8 of bounded length from a file or, where the user named it, from a pipe.

import { contentKind } from "./content-kind";
import { corruptFile } from "../core/file-errors";
import { isPipe, readPipe } from "./pipe";
import { allocateBytes, openRegularFile, readExactly } from "./regular-file";

/**
 * All of a text, without the byte order mark that some editors put before it. The file is opened once: what was checked is what is read.
 *
 * @param what - the text, for messages: "a list of class names"
 * @param maxBytes - a longer text is refused; of a longer file nothing is read
 * @param fromUser - whether it may be a pipe, as `<(command)` gives one: not in a folder that came from elsewhere, where a pipe is a trap
 * @throws ERR_CORRUPT_FILE for a longer text, for bytes that are no UTF-8 and for NUL characters; ERR_IO, also for a device, and for a pipe that
 *   the user did not name; ERR_ABORTED
 */
export async function readTextFile(
  path: string,
  what: string,
  maxBytes: number,
  { fromUser = false, signal }: { fromUser?: boolean; signal?: AbortSignal | undefined } = {},
): Promise<string> {
  const bytes = fromUser && (await isPipe(path)) ? await readPipe(path, what, maxBytes, signal) : await readWhole(path, what, maxBytes);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw corruptFile(path, `${what} in UTF-8`, contentKind(bytes) ?? "bytes that are not", error);
  }
  const nul = text.indexOf("\0"); // UTF-16 without its mark is UTF-8 too, but for these
  if (nul >= 0) throw corruptFile(path, `${what} in UTF-8`, contentKind(bytes) ?? `a NUL character at ${nul}`);
  return text;
}

async function readWhole(path: string, what: string, maxBytes: number): Promise<Uint8Array> {
  const { handle, size } = await openRegularFile(path);
  try {
    if (size > maxBytes) throw corruptFile(path, `${what} of at most ${maxBytes} bytes`, `${size} bytes`);
    const bytes = allocateBytes(size, path);
    await readExactly(handle, path, 0, bytes);
    return bytes;
  } finally {
    await handle.close();
  }
}
