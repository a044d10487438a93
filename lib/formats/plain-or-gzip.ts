// Reads a file that may be gzip-compressed, by its first bytes and not by its name, and that gives its own length at its start.

import type { FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { isLibtorchOodError } from "../core/errors";
import { corruptFile, ioError, systemCode } from "../core/file-errors";
import { allocateBytes, openRegularFile, readExactly } from "./regular-file";

/** Deflate cannot compress better than this (zlib's documentation, "Maximum compression factor"); a length beyond it is a lie. */
const maximumCompression = 1032;
const chunkBytes = 1024 * 1024;

/**
 * All bytes of a file, decompressed where it begins with the gzip magic 1f 8b. Inflating runs on Node's pool, not on the JavaScript
 * thread, and stops as soon as more bytes come out than the file claims at its start: a gzip bomb costs no memory.
 *
 * @param prefixLength - as many first bytes as are needed to know the length of the whole
 * @param lengthFrom - the length of the whole in bytes (prefix included), from those first bytes; throws where they are wrong
 * @throws ERR_CORRUPT_FILE where it is shorter or longer than `lengthFrom` says, or where the gzip stream is damaged; ERR_IO;
 *   ERR_OUT_OF_MEMORY
 */
export async function readPlainOrGzip(
  path: string,
  prefixLength: number,
  lengthFrom: (prefix: Uint8Array) => number,
): Promise<Uint8Array<ArrayBuffer>> {
  const { handle, size } = await openRegularFile(path);
  try {
    const start = new Uint8Array(Math.min(2, size));
    await readExactly(handle, path, 0, start);
    const gzip = start[0] === 0x1f && start[1] === 0x8b;
    const limit = gzip ? size * maximumCompression : size;
    const extent = gzip ? `a gzip file of ${size}, which cannot hold more than ${limit}` : String(size);
    const assembly = new Assembly(path, prefixLength, lengthFrom, limit, extent);
    if (gzip) {
      await gunzip(handle, path, size, assembly);
    } else {
      for await (const chunk of chunksOf(handle, path, size)) assembly.add(chunk);
    }
    return assembly.finish();
  } finally {
    await handle.close();
  }
}

/** The bytes that have come so far, in memory for all of them once the prefix has told how many there will be. */
class Assembly {
  #bytes: Uint8Array<ArrayBuffer>;
  #filled = 0;
  #lengthKnown = false;

  constructor(
    private readonly path: string,
    prefixLength: number,
    private readonly lengthFrom: (prefix: Uint8Array) => number,
    private readonly limit: number,
    private readonly extent: string,
  ) {
    this.#bytes = new Uint8Array(prefixLength);
  }

  add(chunk: Uint8Array): void {
    let rest = chunk;
    if (!this.#lengthKnown) {
      const missing = this.#bytes.length - this.#filled;
      this.#append(rest.subarray(0, missing));
      rest = rest.subarray(missing);
      if (this.#filled < this.#bytes.length) return;
      this.#learnLength();
    }
    if (rest.length > this.#bytes.length - this.#filled) {
      throw corruptFile(this.path, `${this.#bytes.length} bytes by its header`, "more");
    }
    this.#append(rest);
  }

  finish(): Uint8Array<ArrayBuffer> {
    if (this.#filled < this.#bytes.length) {
      const expected = this.#lengthKnown ? `${this.#bytes.length} bytes by its header` : `a header of ${this.#bytes.length} bytes`;
      throw corruptFile(this.path, expected, `${this.#filled}`);
    }
    return this.#bytes;
  }

  #append(part: Uint8Array): void {
    this.#bytes.set(part, this.#filled);
    this.#filled += part.length;
  }

  #learnLength(): void {
    const prefix = this.#bytes;
    const length = this.lengthFrom(prefix);
    if (length > this.limit) throw corruptFile(this.path, `${length} bytes by its header`, this.extent);
    this.#bytes = allocateBytes(length, this.path);
    this.#bytes.set(prefix);
    this.#lengthKnown = true;
  }
}

async function* chunksOf(handle: FileHandle, path: string, size: number): AsyncGenerator<Uint8Array> {
  for (let position = 0; position < size; position += chunkBytes) {
    const chunk = new Uint8Array(Math.min(chunkBytes, size - position));
    await readExactly(handle, path, position, chunk);
    yield chunk;
  }
}

async function gunzip(handle: FileHandle, path: string, size: number, assembly: Assembly): Promise<void> {
  const inflate = createGunzip({ chunkSize: chunkBytes });
  let first: unknown; // what went wrong first: pipeline may report instead that the rest was aborted
  const note = (error: unknown): never => {
    first ??= error;
    throw error;
  };
  async function* compressed(): AsyncGenerator<Uint8Array> {
    try {
      yield* chunksOf(handle, path, size);
    } catch (error) {
      note(error);
    }
  }
  inflate.once("error", (error) => (first ??= error));
  try {
    await pipeline(Readable.from(compressed()), inflate, async (inflated: AsyncIterable<Uint8Array>) => {
      try {
        for await (const chunk of inflated) assembly.add(chunk);
      } catch (error) {
        note(error);
      }
    });
  } catch (error) {
    const reason = first ?? error;
    if (isLibtorchOodError(reason)) throw reason;
    if (systemCode(reason)?.startsWith("Z_")) throw corruptFile(path, "a whole gzip stream", (reason as Error).message, reason);
    // Node ends the stream early where zeros follow the compressed data: that is told below.
    if (systemCode(reason) !== "ERR_STREAM_PREMATURE_CLOSE" || inflate.bytesWritten >= size) throw ioError("read", path, reason);
  }
  if (inflate.bytesWritten !== size) {
    throw corruptFile(path, `the file to end with its gzip stream at byte ${inflate.bytesWritten}`, `${size} bytes`);
  }
}
