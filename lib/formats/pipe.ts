// Reads pipes that the user names in place of a file, as `<(command)` of a shell does, without a thread that waits for their writer.

import { close, constants, open } from "node:fs";
import { stat } from "node:fs/promises";
import { Socket } from "node:net";
import type { Readable } from "node:stream";
import { promisify } from "node:util";
import { isLibtorchOodError } from "../core/errors";
import { abortError } from "../native/call";
import { corruptFile, io, ioError } from "../core/file-errors";

/** Whether the path is that of a pipe. @throws ERR_IO where nothing is there */
export async function isPipe(path: string): Promise<boolean> {
  return (await io("open", path, stat(path))).isFIFO();
}

/**
 * A stream of what is written to a pipe. A reader of the file system's kind would wait for a writer in a thread, which nothing can end, not even the
 * end of the process; this one can be destroyed at any time.
 *
 * @throws ERR_IO
 */
export async function openPipe(path: string): Promise<Readable> {
  const handle = await io("open", path, promisify(open)(path, constants.O_RDONLY | constants.O_NONBLOCK));
  try {
    return new Socket({ fd: handle, readable: true, writable: false });
  } catch (error) {
    await promisify(close)(handle);
    throw ioError("read", path, error);
  }
}

/**
 * All that comes out of a pipe.
 *
 * @param what - for messages: "a list of class names"
 * @throws ERR_CORRUPT_FILE above `maxBytes`, ERR_IO, ERR_ABORTED
 */
export async function readPipe(path: string, what: string, maxBytes: number, signal: AbortSignal | undefined): Promise<Buffer> {
  return readStream(await openPipe(path), path, what, maxBytes, signal);
}

/**
 * All that comes out of a stream, which is destroyed.
 *
 * @param name - of the stream, for messages
 * @throws as {@link readPipe}
 */
export async function readStream(
  stream: Readable,
  name: string,
  what: string,
  maxBytes: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const stop = (): void => void stream.destroy(signal?.reason as Error);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    if (signal?.aborted) throw abortError(signal);
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of stream) {
      chunks.push(chunk as Buffer);
      length += (chunk as Buffer).length;
      if (length > maxBytes) throw corruptFile(name, `${what} of at most ${maxBytes} bytes`, "more");
    }
    return Buffer.concat(chunks);
  } catch (error) {
    throw signal?.aborted ? abortError(signal) : isLibtorchOodError(error) ? error : ioError("read", name, error);
  } finally {
    signal?.removeEventListener("abort", stop);
    stream.destroy();
  }
}
