// Reads a file once, into native memory, and hashes what it reads: what is loaded from those bytes is what the hash tells of.

import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { Scope } from "../core/scope";
import { openRegularFile, readExactly } from "../formats/regular-file";
import { abortError, callNative } from "../native/call";
import { native, type NativeTensor } from "../native/surface";

/** The bytes of a file, uint8 [n], which the caller disposes of. */
export interface HashedBytes {
  readonly bytes: NativeTensor;
  /** SHA-256 in hexadecimal. */
  readonly sha256: string;
}

const pieceBytes = 1 << 20; // about a millisecond of hashing: the event loop turns between pieces

/** @throws ERR_IO where the file cannot be read, ERR_CORRUPT_FILE where it becomes shorter meanwhile, ERR_ABORTED, ERR_OUT_OF_MEMORY */
export async function readHashed(path: string, signal: AbortSignal | undefined): Promise<HashedBytes> {
  const { handle, size } = await openRegularFile(path);
  try {
    return await Scope.run(async (scope) => {
      const bytes = scope.own(callNative(() => new (native().Tensor)(null, [size], "uint8")));
      const hash = createHash("sha256");
      const piece = Buffer.allocUnsafe(Math.min(size, pieceBytes));
      for (let start = 0; start < size; start += pieceBytes) {
        await turn();
        if (signal?.aborted) throw abortError(signal);
        const part = piece.subarray(0, Math.min(pieceBytes, size - start));
        await readExactly(handle, path, start, part);
        hash.update(part);
        callNative(() => bytes.write(start, part));
      }
      return { bytes: scope.release(bytes), sha256: hash.digest("hex") };
    });
  } finally {
    await handle.close();
  }
}
