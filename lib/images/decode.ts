// Decodes images through sharp, an optional peer dependency that is loaded when an image first needs it, and has them preprocessed natively.

import { availableParallelism } from "node:os";
import { setImmediate as turn } from "node:timers/promises";
import { isLibtorchOodError, LibtorchOodError } from "../core/errors";
import { corruptFile, io } from "../core/file-errors";
import type { Path } from "../formats/path-text";
import { allocateBytes, openRegularFile, readExactly } from "../formats/regular-file";
import { abortError, untilAborted } from "../native/call";
import type { NativeTensor, NativeVariation } from "../native/surface";
import { isImageFault } from "./failure";
import type { ImageGeometry } from "./geometry";
import type { TakenImage } from "./image";
import { repairJpeg } from "./jpeg-repair";
import { Preprocessor } from "./preprocess";
import { openImage, readable } from "./sharp-image";
import { formatOf, type Format } from "./signature";

type EncodedImage = Exclude<TakenImage, { pixels: Uint8Array } | { fault: LibtorchOodError }>;

/** The form that decoded images take. */
export interface ImageTarget extends ImageGeometry {
  /** Largest number of pixels of a file. Default: 100 million, and 250 million for a JPEG that is decoded row by row. */
  readonly maxPixels?: number | undefined;
  readonly signal: AbortSignal | undefined;
  /** How an image is varied for training, by its index and the size of its picture when it is upright. */
  readonly vary?: (index: number, width: number, height: number) => NativeVariation;
}

/** No image of 100 million pixels needs a larger file; one of more may need {@link maxBytesPerPixel}. */
const maxFileBytes = 1 << 28;
const maxBytesPerPixel = 4;
/** sharp works in libuv's pool of four threads: one of them stays free for files and names. */
const imagesAtOnce = Math.min(3, availableParallelism());
/** Pixels in memory that are handed on before the event loop turns, an image counting as some thousand: about a millisecond. */
const pixelsPerTurn = 1 << 18;
const pixelsOfAnImage = 1 << 12;
/** A file of more pixels is not decoded as it is: see {@link reducedSize}. */
const maxDecodedPixels = 48_000_000;

/** What {@link decodeImages} tells of single images, in any order. */
export interface DecodingEvents {
  /** Told of each image whose row is there. */
  readonly onDone?: ((index: number) => void) | undefined;
  /** Told of an image that cannot be decoded, whose row stays as it is. Without it the first such image ends the call. */
  readonly onFault?: ((index: number, error: LibtorchOodError) => void) | undefined;
}

/**
 * Makes of each image the row of its index in `destination`: `channels`×`size`×`size` bytes, plane after plane. A few images are decoded at a time, off
 * the JavaScript thread; the compute thread resizes and crops them as Pillow and torchvision do. EXIF orientation is applied, alpha flattened onto black;
 * colour profiles are ignored, as Pillow does. An image file of more than 48 million pixels is first reduced by its decoder's library to two to four times
 * `resizeTo`, so that it is never in memory as a whole.
 *
 * @param destination - a row per image. It belongs to the call: nobody else touches it until the promise has settled
 * @throws ERR_CORRUPT_FILE for anything but a sound PNG, JPEG, WebP, GIF, TIFF or AVIF image within {@link ImageTarget.maxPixels}; ERR_IO for a file that cannot be read;
 *   ERR_SHAPE for an image of another size with resize `"none"`, and for a network of other than 1 or 3 channels; ERR_SHARP_NOT_FOUND if sharp is needed
 *   and not installed; ERR_LIBTORCH_NOT_FOUND without libtorch; ERR_ABORTED after an abort; and what the events throw
 */
export async function decodeImages(
  images: readonly TakenImage[],
  target: ImageTarget,
  destination: NativeTensor | Uint8Array,
  { onDone, onFault }: DecodingEvents = {},
): Promise<void> {
  if (target.channels !== 1 && target.channels !== 3) {
    const found = `a network of ${target.channels} channels`;
    throw new LibtorchOodError(
      "ERR_SHAPE",
      `images: expected a network of 1 or 3 channels, which files and RGBA pixels can give, found ${found}`,
    );
  }
  const preprocessor = new Preprocessor(target, destination, target.signal, (index) => onDone?.(index));
  let next = 0;
  let failure: { error: unknown } | undefined;
  let pixelsDone = 0;
  const work = async () => {
    for (let index = next++; index < images.length && failure === undefined; index = next++) {
      try {
        if (target.signal?.aborted) throw abortError(target.signal);
        const image = images[index] as TakenImage;
        await preprocessImage(image, index, target, preprocessor).catch((error: unknown) => {
          if (onFault === undefined || !isImageFault(error)) throw error;
          onFault(index, error);
        });
        pixelsDone += pixelsOfAnImage + ("pixels" in image ? image.width * image.height : 0);
        if (pixelsDone >= pixelsPerTurn) {
          pixelsDone = 0;
          await turn();
        }
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(imagesAtOnce, images.length) }, work));
  // Also after a failure: a job that still runs writes to the destination.
  await preprocessor.finish().catch((error: unknown) => (failure ??= { error }));
  if (failure !== undefined) throw failure.error;
}

/** Decodes an image and hands it over. */
async function preprocessImage(image: TakenImage, index: number, target: ImageTarget, preprocessor: Preprocessor): Promise<void> {
  const { name } = image;
  if ("fault" in image) throw image.fault;
  if ("pixels" in image) {
    const { width, height, planes } = image;
    requireFit(name, image, target);
    const bytes = (planes ?? 4) * width * height;
    await preprocessor.reserve(bytes);
    preprocessor.add(
      {
        ...{ pixels: image.pixels, width, height, originalWidth: width, originalHeight: height, orientation: 1 },
        ...variationOf(target, index, width, height),
        ...(planes === undefined ? { channels: 4, layout: "interleaved" } : { channels: planes, layout: "planes" }),
      },
      index,
      bytes,
    );
    return;
  }
  const bytes = await fileBytes(name, image, target);
  const format = formatOf(name, bytes);
  try {
    await preprocessFile(name, bytes, format, index, target, preprocessor);
  } catch (error) {
    const corrupt = isLibtorchOodError(error) && error.code === "ERR_CORRUPT_FILE";
    const repaired = corrupt && format === "jpeg" ? repairJpeg(bytes) : undefined;
    if (repaired === undefined) throw error;
    await preprocessFile(name, repaired, format, index, target, preprocessor);
  }
}

async function preprocessFile(
  name: string,
  bytes: Buffer,
  format: Format,
  index: number,
  target: ImageTarget,
  preprocessor: Preprocessor,
): Promise<void> {
  const { sharpImage, inks, width: originalWidth, height: originalHeight, orientation } = await openImage(name, bytes, format, target);
  requireFit(
    name,
    orientation > 4 ? { width: originalHeight, height: originalWidth } : { width: originalWidth, height: originalHeight },
    target,
  );
  const reduced = reducedSize(originalWidth, originalHeight, target);
  const { width, height } = reduced ?? { width: originalWidth, height: originalHeight };
  // A cut before the resize keeps sharp from letting the JPEG decoder shrink the image by another kernel.
  const image =
    reduced === undefined
      ? sharpImage
      : sharpImage
          .extract({ left: 0, top: 0, width: originalWidth, height: originalHeight })
          .resize(width, height, { fit: "fill", kernel: "linear", fastShrinkOnLoad: false });
  const reserved = 4 * width * height;
  await preprocessor.reserve(reserved);
  try {
    const { data, info } = await readable(name, format, () => image.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true }));
    const layout = inks ? "inks" : "interleaved";
    preprocessor.add(
      {
        ...{ pixels: data, width, height, originalWidth, originalHeight, channels: info.channels, layout, orientation },
        ...(orientation > 4
          ? variationOf(target, index, originalHeight, originalWidth)
          : variationOf(target, index, originalWidth, originalHeight)),
      },
      index,
      reserved,
    );
  } catch (error) {
    preprocessor.release(reserved);
    throw error;
  }
}

function variationOf({ vary }: ImageTarget, index: number, width: number, height: number): { variation?: NativeVariation } {
  return vary === undefined ? {} : { variation: vary(index, width, height) };
}

function requireFit(name: string, { width, height }: { width: number; height: number }, { resize, size }: ImageTarget): void {
  if (resize !== "none" || (width === size && height === size)) return;
  throw new LibtorchOodError("ERR_SHAPE", `${name}: expected ${size}×${size} pixels (resize is "none"), found ${width}×${height}`);
}

/**
 * The size that an image of more than {@link maxDecodedPixels} is reduced to before it is in memory: its shorter side has four times the pixels that it
 * is to have, or less where that would be too many, but at least twice. Reducing by two or more afterwards evens out most of what the first kernel left.
 */
function reducedSize(
  width: number,
  height: number,
  { resize, resizeTo, size }: ImageTarget,
): { width: number; height: number } | undefined {
  const pixels = width * height;
  if (pixels <= maxDecodedPixels) return undefined;
  const smallest = (resize === "center-crop" ? resizeTo : size) / Math.min(width, height);
  const scale = Math.max(2 * smallest, Math.min(4 * smallest, Math.sqrt(maxDecodedPixels / pixels)));
  return scale >= 1 ? undefined : { width: Math.ceil(width * scale), height: Math.ceil(height * scale) };
}

async function fileBytes(name: string, image: EncodedImage, target: ImageTarget): Promise<Buffer> {
  if ("encoded" in image) return asBuffer(image.encoded);
  const limit = Math.max(maxFileBytes, maxBytesPerPixel * (target.maxPixels ?? 0));
  if ("path" in image) return readFile(name, image.path as Path, limit);
  requireSize(name, image.blob.size, limit);
  const bytes = await untilAborted(io("read", name, blobBytes(image.blob)), target.signal);
  requireSize(name, bytes.length, limit);
  return bytes;
}

/** The file behind a Blob may have gone since it was made. */
async function blobBytes(blob: Blob): Promise<Buffer> {
  return Buffer.from(await blob.arrayBuffer());
}

async function readFile(name: string, path: Path, limit: number): Promise<Buffer> {
  const file = await openRegularFile(path, name);
  try {
    requireSize(name, file.size, limit);
    const bytes = asBuffer(allocateBytes(file.size, name));
    await readExactly(file.handle, name, 0, bytes);
    return bytes;
  } finally {
    await file.handle.close();
  }
}

function requireSize(name: string, bytes: number, limit: number): void {
  if (bytes > limit) throw corruptFile(name, `an image file of at most ${limit} bytes`, `${bytes} bytes`);
}

/** sharp knows a Buffer of any realm, but a Uint8Array only of its own. */
function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
