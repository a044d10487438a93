// Has JPEG, PNG and GIF files read, decoded and preprocessed by native threads, many in one job.

import type { LibtorchOodError } from "../core/errors";
import { corruptFile } from "../core/file-errors";
import { abortError, runNative } from "../native/call";
import {
  native,
  type NativeDecodeReport,
  type NativeEncodedSource,
  type NativeImageHeader,
  type NativeTensor,
  type NativeVariation,
} from "../native/surface";
import type { ImageTarget } from "./decode";
import { isImageFault } from "./failure";
import { blobBytes, maxFileBytes } from "./file-bytes";
import { maxPixels, type TakenImage } from "./image";

/** Larger images are not decoded as a whole: see {@link reducedSize}. */
export const maxDecodedPixels = 48_000_000;

export interface FileImage {
  readonly index: number;
  readonly image: Exclude<TakenImage, { pixels: Uint8Array } | { fault: LibtorchOodError }>;
}

/** An image whose row has not been written. */
export interface OtherImage extends FileImage {
  /** What is wrong with it; undefined for one that another decoder may read. */
  readonly error?: LibtorchOodError | undefined;
  /** Its header, where it is a JPEG, PNG or GIF. */
  readonly header?: NativeImageHeader | undefined;
  /** Its bytes, where they have been read. */
  readonly bytes?: Uint8Array | undefined;
}

/** How a picture of that size as stored is varied. */
export function variationOf(
  { vary }: Pick<ImageTarget, "vary">,
  index: number,
  { width, height, orientation }: Pick<NativeImageHeader, "width" | "height" | "orientation">,
): { variation?: NativeVariation } {
  if (vary === undefined) return {};
  return { variation: orientation > 4 ? vary(index, height, width) : vary(index, width, height) };
}

/**
 * Writes the rows of the JPEG, PNG and GIF images among `files`.
 *
 * @param onDone - function that is told of each row that is there
 * @returns the images whose rows are not there
 */
export async function decodeNatively(
  files: readonly FileImage[],
  target: ImageTarget,
  destination: NativeTensor | Uint8Array,
  onDone: (index: number) => void,
): Promise<OtherImage[]> {
  const others: OtherImage[] = [];
  const sent: FileImage[] = [];
  const sources: NativeEncodedSource[] = [];
  for (const file of files) {
    const { image } = file;
    try {
      sources.push("blob" in image ? { encoded: await blobBytes(image.name, image.blob, target) } : image);
      sent.push(file);
    } catch (error) {
      if (!isImageFault(error)) throw error;
      others.push({ ...file, error });
    }
  }
  const limits = {
    pixels: Math.min(target.maxPixels ?? maxPixels, maxDecodedPixels),
    fileBytes: maxFileBytes(target),
    acceptTruncated: target.truncated === "accept",
  };
  const { channels, size, resize, resizeTo, kernel, antialias } = target;
  const geometry = { channels, size, resize, resizeTo, kernel, antialias };
  const rows = sent.map(({ index }) => index);
  const decode = (of: readonly NativeEncodedSource[], pixels: number): Promise<NativeDecodeReport[]> =>
    runNative(target.signal, (control) => native().decodeImages(control, of, geometry, { ...limits, pixels }, destination, rows));
  let varied = sources;
  if (target.vary !== undefined) {
    // How a picture is varied depends on its size: with a limit of no pixels only the headers are read.
    varied = [...sources];
    for (const { index, header } of await decode(sources, 0)) {
      const row = rows[index] as number;
      if (header !== undefined) varied[index] = { ...(sources[index] as NativeEncodedSource), ...variationOf(target, row, header) };
    }
  }
  const reports = await decode(varied, limits.pixels);
  let at = 0;
  for (const [i, file] of sent.entries()) {
    if (target.signal?.aborted) throw abortError(target.signal); // by onDone
    const report = reports[at];
    if (report?.index !== i) {
      onDone(file.index);
      continue;
    }
    at++;
    const { status, words, header } = report;
    const source = sources[i] as NativeEncodedSource;
    const bytes = "encoded" in source ? source.encoded : undefined;
    const found = status === "truncated" ? "one that is cut off" : `one of which its decoder says: ${words}`;
    const error = status === "declined" ? undefined : corruptFile(file.image.name, "a sound image", found);
    others.push({ ...file, error, header, bytes });
  }
  return others;
}
