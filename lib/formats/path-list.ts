// Reads lists of paths: text files or standard input, one path a line or ended by NUL.

import { createReadStream, fstat } from "node:fs";
import { stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import { promisify } from "node:util";
import { corruptFile, io, ioError } from "../core/file-errors";
import { parsePathText, pathOfBytes, type Path } from "./path-text";
import { openPipe, readStream } from "./pipe";

/** Of a list of paths: millions of them. */
const maxListBytes = 2 ** 28;
/** No path is longer on any system; what is longer is no path. */
const maxPathBytes = 32_767;
const fileStatus = promisify(fstat);

/**
 * Paths from a file, or from standard input where its name is "-": one a line, or ended by NUL characters where there are any (`find -print0`). A line
 * in double quotes is read as `images.txt` writes such names.
 *
 * @throws ERR_IO; ERR_CORRUPT_FILE for a line that is no path; ERR_ABORTED
 */
export async function readPaths(list: string, signal: AbortSignal | undefined, stdin: Readable = process.stdin): Promise<Path[]> {
  const own = list === "-";
  const name = own ? "standard input" : list;
  const status = await io("read", name, own ? fileStatus(0) : stat(list));
  if (status.isDirectory()) throw ioError("read", name, `expected ${own ? "a list of paths" : "a file"}, found a directory`);
  const stream = own ? stdin : status.isFIFO() ? await openPipe(list) : createReadStream(list);
  const content = await readStream(stream, name, "a list of paths", maxListBytes, signal);
  const byNul = content.includes(0);
  if (byNul && (content[0] === 0xff || content[0] === 0xfe) && content[1] === (content[0] ^ 1)) {
    throw corruptFile(name, "paths, one a line", "text in UTF-16");
  }
  const paths: Path[] = [];
  for (let start = !byNul && content.indexOf("\ufeff") === 0 ? 3 : 0, line = 1; start < content.length; line++) {
    const next = content.indexOf(byNul ? 0 : 0x0a, start);
    const end = next < 0 ? content.length : next;
    const last = !byNul && content[end - 1] === 0x0d && end > start ? end - 1 : end;
    if (last - start > maxPathBytes) throw corruptFile(name, `a path in line ${line}`, `${last - start} bytes`);
    const bytes = content.subarray(start, last);
    if (bytes.length === 0 && byNul) throw corruptFile(name, `a path before the NUL character at byte ${end}`, "nothing");
    if (bytes.length > 0) paths.push(byNul ? pathOfBytes(Buffer.from(bytes)) : parsePathText(Buffer.from(bytes)));
    start = end + 1;
  }
  if (paths.length === 0) throw ioError("find images in", name, "it names no file");
  return paths;
}
