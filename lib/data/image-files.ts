// Makes a Dataset from a list of image files with their labels: decodes them side by side, or takes them from the cache.

import { stat } from "node:fs/promises";
import { oneOf, optionalFunction, optionalSignal, string, fail } from "../core/checks";
import { isLibtorchOodError, type LibtorchOodError } from "../core/errors";
import { corruptFile } from "../core/file-errors";
import { absolutePath, pathText, workingFolder, type Path } from "../formats/path-text";
import { allocateBytes } from "../formats/regular-file";
import { decodeImages } from "../images/decode";
import { resizeRecord, type ImageGeometry } from "../images/geometry";
import { checkOnError, checkTruncated, reportFaults, type OnError, type Truncated } from "../images/failure";
import { checkMaxPixels } from "../images/image";
import { abortError, CallbackGuard, untilAborted } from "../native/call";
import { Dataset } from "./dataset";
import { decodedCache, defaultCacheFolder, readDecoded, writeDecoded, type DecodedCache, type SourceFile } from "./decoded-cache";
import { checkForm, type FormOptions } from "./image-form";
import type { Normalization } from "./normalization";

/** How far decoding has come. */
export interface DecodingProgress {
  /** Number of images decoded so far; all of them at once where they come from the cache. */
  readonly done: number;
  /** Number of images in all. */
  readonly total: number;
}

/** How image files become images of one shape. */
export interface DecodingOptions {
  /** Height and width in pixels, 1 to 4096. Default 32. */
  imageSize?: number;
  /** Number of channels: 1 (grey, ITU-R 601-2 luma) or 3 (RGB). Default 3. */
  channels?: 1 | 3;
  /**
   * Called about a hundred times while images are decoded, and at the end. When it throws, or the promise that it returns rejects, the call ends with
   * that error.
   */
  onProgress?: (progress: DecodingProgress) => void | Promise<void>;
  /**
   * What becomes of images that cannot be decoded: see {@link OnError}. The `index` of a failure counts all images, those left out included. Default
   * `"throw"`.
   */
  onError?: OnError;
  /**
   * Largest number of pixels of an image file. Memory and time grow with it. Default 100 million, and 250 million for a baseline JPEG, as cameras
   * write them: it is decoded row by row, so that only time grows.
   */
  maxPixels?: number;
  /**
   * What becomes of an image file whose end is missing. "refuse": it cannot be decoded. "accept": what is there of it is taken; the rest is grey in a
   * JPEG and black in others. Default "refuse".
   */
  truncated?: Truncated;
  /** Aborts the call, which then rejects with ERR_ABORTED. */
  signal?: AbortSignal;
  /**
   * Whether decoded images are kept in a file, which makes the next call fast.
   *
   * - `true` (default): in the folder `decoded` of the library's cache, `$LIBTORCH_OOD_CACHE` or else the user's cache directory. Where it cannot be
   *   written, nothing is kept.
   * - a path: in that folder. Where it cannot be written, the call throws ERR_IO.
   * - `false`: nothing is kept.
   *
   * A cache file of other content, or a damaged one, is replaced.
   */
  cache?: boolean | string;
}

export const decodingKeys = ["imageSize", "channels", "onProgress", "onError", "maxPixels", "truncated", "signal", "cache"] as const;

/** {@link DecodingOptions}, checked. */
export interface Decoding {
  readonly geometry: ImageGeometry;
  /** The data set's normalization; undefined for none. */
  readonly normalization: Normalization | undefined;
  readonly onProgress: DecodingOptions["onProgress"];
  readonly onError: OnError;
  readonly maxPixels: number | undefined;
  readonly truncated: Truncated;
  readonly signal: AbortSignal | undefined;
  readonly cacheFolder: string | undefined;
  /** The working folder at the call, where relative paths begin. */
  readonly workingFolder: string | undefined;
  /** Whether the caller named the cache folder and gets an error where it cannot be written. */
  readonly cacheRequired: boolean;
}

/**
 * @param form - what says which form the images get, besides the size and channels of the options
 * @throws ERR_OPTION, ERR_RANGE; ERR_SHAPE and ERR_NON_FINITE for the constants of a preprocessing
 */
export function checkDecoding(options: DecodingOptions, form: Pick<FormOptions, "resize" | "preprocessing">): Decoding {
  const { imageSize, channels, onProgress, onError, maxPixels, truncated, signal, cache = true } = options;
  if ((typeof cache !== "boolean" && typeof cache !== "string") || cache === "")
    fail("ERR_OPTION", "cache", "true, false or a path", cache);
  return {
    ...checkForm({ imageSize, channels: channels && oneOf(channels, "channels", [1, 3]), ...form }, { imageSize: 32, channels: 3 }),
    onProgress: optionalFunction(onProgress, "onProgress"),
    onError: checkOnError(onError),
    maxPixels: checkMaxPixels(maxPixels),
    truncated: checkTruncated(truncated),
    signal: optionalSignal(signal, "signal"),
    cacheFolder: typeof cache === "string" ? string(cache, "cache") : cache ? defaultCacheFolder() : undefined,
    cacheRequired: typeof cache === "string",
    workingFolder: workingFolder(),
  };
}

export interface LabelledFile {
  /** A {@link Path}, spelled out because the declarations do without Node's types. */
  readonly path: string | Uint8Array;
  /** Relative to the root, with slashes: the same on every machine. */
  readonly name: string;
  readonly label: number;
}

/**
 * The images of `files`, in that order; with `onError`, those that can be decoded.
 *
 * @param root - the folder that they lie in, to which the cache belongs
 * @throws what {@link decodeImages} throws; ERR_IO; ERR_CORRUPT_FILE for a class of which no image can be decoded; ERR_OUT_OF_MEMORY; ERR_ABORTED
 */
export async function readImageFiles(
  root: string,
  files: readonly LabelledFile[],
  dataset: { readonly name: string; readonly part?: string; readonly classNames: readonly string[] },
  decoding: Decoding,
): Promise<Dataset> {
  const { geometry, normalization, signal, cacheFolder, onError } = decoding;
  const { size, channels } = geometry;
  const shape = [channels, size, size] as const;
  const cache = cacheFolder === undefined ? undefined : await cacheOf(cacheFolder, root, files, decoding);
  const cached = cache === undefined ? undefined : await readDecoded(cache, [files.length, ...shape], signal);
  const { images, faults } = cached === undefined ? await decode(files, decoding) : { images: cached, faults: new Map<number, never>() };
  if (cached !== undefined) {
    await untilAborted(Promise.resolve(decoding.onProgress?.({ done: files.length, total: files.length })), signal);
  }
  await reportFaults(faults, (index) => pathText((files[index] as LabelledFile).path as Path), onError, signal);
  const kept = faults.size === 0 ? files : files.filter((_, index) => !faults.has(index));
  if (faults.size > 0) requireClasses(kept, files, faults, dataset.classNames);
  // With images left out nothing is kept: what could not be read today may be readable tomorrow.
  else if (cache !== undefined && cached === undefined) await keep(cache, images, [files.length, ...shape], decoding);
  const labels = Int32Array.from(kept, ({ label }) => label);
  const resize = resizeRecord(geometry);
  return Dataset.fromArrays({ ...dataset, images, labels, shape, resize, ...(normalization === undefined ? {} : { normalization }) });
}

interface Decoded {
  /** The images without fault, one after the other. */
  readonly images: Uint8Array;
  readonly faults: ReadonlyMap<number, LibtorchOodError>;
}

async function decode(files: readonly LabelledFile[], decoding: Decoding): Promise<Decoded> {
  const { geometry, onProgress, onError, maxPixels, truncated, signal } = decoding;
  const { size, channels } = geometry;
  const length = channels * size * size;
  const images = allocateBytes(files.length * length, `${files.length} images`);
  const guard = new CallbackGuard(() => undefined);
  const report = onProgress === undefined ? undefined : guard.wrap(onProgress);
  const every = Math.max(1, Math.floor(files.length / 100));
  const faults = new Map<number, LibtorchOodError>();
  let done = 0;
  const count = (): void => {
    done++;
    if (done % every === 0 || done === files.length) void report?.({ done, total: files.length });
    guard.rethrow();
  };
  const onFault = (index: number, error: LibtorchOodError): void => {
    faults.set(index, error);
    count();
  };
  const taken = files.map(({ path }) => ({ name: pathText(path as Path), path: absolutePath(path as Path, decoding.workingFolder) }));
  await decodeImages(taken, { ...geometry, maxPixels, truncated, signal }, images, { onDone: count, onFault: onError === "throw" ? undefined : onFault });
  await guard.finish(signal);
  let next = 0;
  for (let index = 0; faults.size > 0 && index < files.length; index++) {
    if (!faults.has(index)) images.copyWithin(length * next++, index * length, (index + 1) * length);
  }
  return { images: faults.size === 0 ? images : images.subarray(0, next * length), faults };
}

/** Refuses a class none of whose images could be decoded: no network would learn it, and no prediction name it. */
function requireClasses(
  kept: readonly LabelledFile[],
  files: readonly LabelledFile[],
  faults: Decoded["faults"],
  classNames: readonly string[],
): void {
  const there = new Set(kept.map(({ label }) => label));
  const index = files.findIndex(({ label }) => !there.has(label));
  const empty = files[index];
  if (empty === undefined) return;
  const cause = faults.get(index);
  const found = `${files.filter(({ label }) => label === empty.label).length}, none of which can (${cause?.message})`;
  throw corruptFile(`class ${classNames[empty.label]}`, "an image that can be decoded", found, cause);
}

async function keep(cache: DecodedCache, images: Uint8Array, shape: readonly number[], decoding: Decoding): Promise<void> {
  try {
    await writeDecoded(cache, images, shape, decoding.signal);
  } catch (error) {
    // The images are there, and a read-only or full disk is no reason to be without them.
    if (decoding.cacheRequired || !isLibtorchOodError(error) || error.code !== "ERR_IO") throw error;
  }
}

async function cacheOf(folder: string, root: string, files: readonly LabelledFile[], decoding: Decoding): Promise<DecodedCache> {
  const { geometry, maxPixels, truncated } = decoding;
  const sources = await statAll(files, decoding);
  return decodedCache(folder, root, JSON.stringify({ ...geometry, maxPixels, ...(truncated === "accept" ? { truncated } : {}) }), sources);
}

/** Number of file system calls at a time; Node's pool has four threads. */
const statsAtOnce = 16;

async function statAll(files: readonly LabelledFile[], { signal, workingFolder: folder }: Decoding): Promise<SourceFile[]> {
  const sources = new Array<SourceFile>(files.length);
  let next = 0;
  const work = async () => {
    try {
      for (let index = next++; index < files.length; index = next++) {
        if (signal?.aborted) throw abortError(signal);
        const { path, name } = files[index] as LabelledFile;
        // Of one that is not there any more the decoder says so.
        const { size, mtimeNs } = await stat(absolutePath(path as Path, folder), { bigint: true }).catch(() => ({
          size: -1n,
          mtimeNs: 0n,
        }));
        sources[index] = { name, size, modified: mtimeNs };
      }
    } finally {
      next = files.length; // after a failure the others stop too
    }
  };
  await Promise.all(Array.from({ length: statsAtOnce }, work));
  return sources;
}
