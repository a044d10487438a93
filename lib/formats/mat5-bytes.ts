// Reads the bytes of a part of a file in order, as they are or inflated, and no more of them than are asked for.

import type { FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import { createInflate } from "node:zlib";
import { isLibtorchOodError } from "../core/errors";
import { corruptFile, systemCode, ioError } from "../core/file-errors";
import { readExactly } from "./regular-file";

const chunkBytes = 1024 * 1024;
/** What may follow the last byte that counts: padding to a multiple of eight. */
const maxPadding = 7;

export interface ByteReader {
  /** Fills `into` with the next bytes. @throws ERR_CORRUPT_FILE where there are fewer */
  read(into: Uint8Array): Promise<void>;
  /** Reads to the end, where nothing but padding may come. @throws ERR_CORRUPT_FILE */
  finish(): Promise<void>;
  /** Frees what the reader holds. It must be called in any case, before the file is closed. */
  close(): Promise<void>;
}

/** Number of bytes that are read at once where few are asked for: tags, names and sizes lie close together. */
const readAhead = 1024;

/** `length` bytes from `start` on. */
export function filePart(handle: FileHandle, path: string, start: number, length: number): ByteReader {
  const end = start + length;
  let position = start;
  let ahead = new Uint8Array(0);
  return {
    async read(into) {
      if (into.length > end - position) throw corruptFile(path, `${into.length} bytes at byte ${position}`, `${end - position}`);
      if (into.length > readAhead) {
        ahead = new Uint8Array(0);
        await readExactly(handle, path, position, into);
      } else {
        if (into.length > ahead.length) {
          ahead = new Uint8Array(Math.min(readAhead, end - position));
          await readExactly(handle, path, position, ahead);
        }
        into.set(ahead.subarray(0, into.length));
        ahead = ahead.subarray(into.length);
      }
      position += into.length;
    },
    finish: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

/** What the zlib stream of `length` bytes from `start` on inflates to. */
export function inflatedPart(handle: FileHandle, path: string, start: number, length: number): ByteReader {
  const chunks = inflate(handle, path, start, length);
  let current = new Uint8Array(0);
  const refill = async (): Promise<boolean> => {
    const next = await chunks.next();
    if (next.done === true) return false;
    current = next.value;
    return true;
  };
  return {
    async read(into) {
      for (let done = 0; done < into.length;) {
        if (current.length === 0 && !(await refill())) {
          throw corruptFile(path, `${into.length} bytes in the stream at byte ${start}`, `its end after ${done}`);
        }
        const part = current.subarray(0, into.length - done);
        into.set(part, done);
        done += part.length;
        current = current.subarray(part.length);
      }
    },
    async finish() {
      let more = 0;
      do {
        more += current.length;
        if (more > maxPadding) throw corruptFile(path, `the stream at byte ${start} to end with its array`, "more bytes");
      } while (await refill());
    },
    async close() {
      await chunks.return(undefined);
    },
  };
}

async function* inflate(
  handle: FileHandle,
  path: string,
  start: number,
  length: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>, undefined> {
  const inflater = createInflate({ chunkSize: Math.min(chunkBytes, Math.max(1024, 8 * length)) });
  const source = Readable.from(chunksOf(handle, path, start, length));
  source.on("error", (error) => inflater.destroy(error));
  source.pipe(inflater);
  try {
    for await (const chunk of inflater) yield chunk as Uint8Array<ArrayBuffer>;
  } catch (error) {
    if (isLibtorchOodError(error)) throw error;
    if (systemCode(error)?.startsWith("Z_")) {
      throw corruptFile(path, `a whole zlib stream at byte ${start}`, (error as Error).message, error);
    }
    throw ioError("read", path, error);
  } finally {
    source.destroy();
    inflater.destroy();
  }
  return undefined;
}

async function* chunksOf(handle: FileHandle, path: string, start: number, length: number): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < length; done += chunkBytes) {
    const chunk = new Uint8Array(Math.min(chunkBytes, length - done));
    await readExactly(handle, path, start + done, chunk);
    yield chunk;
  }
}
