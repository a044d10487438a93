// Text in UTF-8 of bounded length, from a regular file.

import { contentKind } from "./content-kind";
import { corruptFile } from "./file-errors";
import { allocateBytes, openRegularFile, readExactly } from "./regular-file";

/**
 * All of a text, without the byte order mark that some editors put before it. The file is opened once: what was checked is what is read.
 *
 * @param what - the text, for messages: "a list of class names"
 * @param maxBytes - a longer file is refused before any of it is read
 * @throws ERR_CORRUPT_FILE for a longer file, for bytes that are no UTF-8 and for NUL characters; ERR_IO, also for a pipe or device
 */
export async function readTextFile(path: string, what: string, maxBytes: number): Promise<string> {
  const { handle, size } = await openRegularFile(path);
  try {
    if (size > maxBytes) throw corruptFile(path, `${what} of at most ${maxBytes} bytes`, `${size} bytes`);
    const bytes = allocateBytes(size, path);
    await readExactly(handle, path, 0, bytes);
    let text: string;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch (error) {
      throw corruptFile(path, `${what} in UTF-8`, contentKind(bytes) ?? "bytes that are not", error);
    }
    const nul = text.indexOf("\0"); // UTF-16 without its mark is UTF-8 too, but for these
    if (nul >= 0) throw corruptFile(path, `${what} in UTF-8`, contentKind(bytes) ?? `a NUL character at ${nul}`);
    return text;
  } finally {
    await handle.close();
  }
}
