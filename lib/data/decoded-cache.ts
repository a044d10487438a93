// Keeps decoded images in a file, so that the next start need not decode them: one safetensors file per folder and choice of options. It is used only
// where every source file has the name, size and modification time that it had, and where the pixels have the hash that was written with them.

import { createHash } from "node:crypto";
import { realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { isLibtorchOodError } from "../core/errors";
import { io } from "../core/file-errors";
import { makeDirectory } from "../core/make-directory";
import { openSafetensors, writeSafetensors } from "../formats/safetensors";
import { cacheDirectory } from "../native/libtorch/cache";
import { abortError } from "../native/call";

/** Changes when the same files decode to other pixels than before. */
const version = 3;
/** Bytes that are hashed before the event loop turns: a few milliseconds. */
const bytesPerTurn = 1 << 21;

/** A source file, as far as it matters whether it has changed. */
export interface SourceFile {
  readonly name: string;
  readonly size: bigint;
  /** Modification time in nanoseconds. */
  readonly modified: bigint;
}

export interface DecodedCache {
  readonly path: string;
  /** SHA-256 over options and sources. A file with another key is stale. */
  readonly key: string;
}

/** The folder of the caches unless the caller names one; undefined where the user has no cache directory. */
export function defaultCacheFolder(): string | undefined {
  try {
    return join(cacheDirectory(), "decoded");
  } catch (error) {
    if (isLibtorchOodError(error)) return undefined;
    throw error;
  }
}

/**
 * The cache of one folder of images. Its file name depends on the folder and the options only, so that a stale file is replaced and files do not pile
 * up.
 *
 * @param folder - the folder of the caches
 * @param root - the folder of images
 * @param options - everything besides the sources that the pixels depend on
 */
export async function decodedCache(folder: string, root: string, options: string, sources: readonly SourceFile[]): Promise<DecodedCache> {
  const directory = await io("read", root, realpath(root));
  const readable = basename(directory)
    .replace(/[^\w.-]+/g, "_")
    .slice(0, 40);
  const place = createHash("sha256")
    .update(JSON.stringify([directory, options]))
    .digest("hex")
    .slice(0, 16);
  const key = createHash("sha256").update(JSON.stringify(["decoded", version, options]));
  for (const [i, { name, size, modified }] of sources.entries()) {
    key.update(`\n${JSON.stringify(name)} ${size} ${modified}`);
    if (i % 4096 === 4095) await turn();
  }
  return { path: join(folder, `${readable}-${place}.safetensors`), key: key.digest("hex") };
}

/**
 * The pixels; undefined where the file is missing, stale, damaged or not readable.
 *
 * @throws ERR_OUT_OF_MEMORY, ERR_ABORTED
 */
export async function readDecoded(
  cache: DecodedCache,
  shape: readonly number[],
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  try {
    const file = await openSafetensors(cache.path);
    try {
      const images = file.tensors.get("images");
      const fits = images?.dtype === "U8" && images.shape.join() === shape.join() && file.metadata.get("key") === cache.key;
      if (!fits) return undefined;
      const pixels = await file.read("images");
      return (await hash(pixels, signal)) === file.metadata.get("sha256") ? pixels : undefined;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isLibtorchOodError(error) && (error.code === "ERR_IO" || error.code === "ERR_CORRUPT_FILE")) return undefined;
    throw error;
  }
}

/** Writes the file, whole or not at all. @throws ERR_IO, ERR_ABORTED */
export async function writeDecoded(
  cache: DecodedCache,
  images: Uint8Array,
  shape: readonly number[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const metadata = { key: cache.key, sha256: await hash(images, signal) };
  const folder = Promise.resolve(dirname(cache.path));
  await io(
    "make the folder of",
    cache.path,
    folder.then((path) => makeDirectory(path, 0o777)),
  );
  await writeSafetensors(cache.path, [{ name: "images", dtype: "U8", shape, data: images }], { metadata });
}

async function hash(bytes: Uint8Array, signal: AbortSignal | undefined): Promise<string> {
  const digest = createHash("sha256");
  for (let start = 0; start < bytes.length; start += bytesPerTurn) {
    if (signal?.aborted) throw abortError(signal);
    digest.update(bytes.subarray(start, start + bytesPerTurn));
    await turn();
  }
  return digest.digest("hex");
}
