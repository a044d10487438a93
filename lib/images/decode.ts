// Decodes and resizes images through sharp, an optional peer dependency that is loaded when an image first needs it.

import { availableParallelism } from "node:os";
import { setImmediate as turn } from "node:timers/promises";
import type { Sharp, SharpOptions } from "sharp";
import { isLibtorchOodError, LibtorchOodError } from "../core/errors";
import { corruptFile, io, systemCode } from "../core/file-errors";
import type { Path } from "../formats/path-text";
import { allocateBytes, openRegularFile, readExactly } from "../formats/regular-file";
import { abortError, untilAborted } from "../native/call";
import { decoderWords, type Format } from "./decoder-words";
import { isImageFault } from "./failure";
import type { ImageGeometry, ImageResize } from "./geometry";
import { plainHeader, type ImageHeader } from "./header";
import { maxPixels, maxPixelsInRows, maxSide, type TakenImage } from "./image";
import { repairJpeg } from "./jpeg-repair";
import { inksToRgb, interpolate, orient, storedBackwards, toPlanes, type SampledAxis } from "./pixels";
import { pngOrientation } from "./png-orientation";

/** The kernel of every resize: a triangle as wide as the reduction, which is antialiased bilinear (Pillow's `BILINEAR`). */
export const resizeKernel = "antialiased-bilinear";

/** How the images of a set that had another size were resized, and by which kernel. */
export interface ResizeRecord {
  /** The mode of resizing. */
  readonly mode: ImageResize;
  /** The kernel of resizing: "antialiased-bilinear" for images that this library resized. */
  readonly kernel: string;
}

/** The form that decoded images take. */
export interface ImageTarget extends ImageGeometry {
  /** Largest number of pixels of a file. Default: {@link maxPixels}, and {@link maxPixelsInRows} for a JPEG that is decoded row by row. */
  readonly maxPixels?: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** No image of {@link maxPixels} needs a larger file; one of more pixels may need {@link maxBytesPerPixel}. */
const maxFileBytes = 1 << 28;
const maxBytesPerPixel = 4;
/** sharp works in libuv's pool of four threads: one of them stays free for files and names. */
const imagesAtOnce = Math.min(3, availableParallelism());
/** Pixels that are laid out on the JavaScript thread before the event loop turns: about a millisecond. */
const pixelsPerTurn = 1 << 18;

/**
 * Decodes the images to `channels`×`size`×`size` bytes each and passes them to `write` in any order, a few at a time, off the JavaScript thread.
 * It applies EXIF orientation and, like Pillow and torchvision, ignores colour profiles.
 *
 * @param onFault - function that is told of an image that cannot be decoded, which is then left out. Without it the first such image ends the call
 * @throws ERR_CORRUPT_FILE for anything but a sound PNG, JPEG or WebP image within {@link ImageTarget.maxPixels}; ERR_IO for a file that cannot be read;
 *   ERR_SHAPE for an image of another size with resize `"none"`, and for a network of other than 1 or 3 channels; ERR_SHARP_NOT_FOUND if sharp is needed
 *   and not installed; ERR_ABORTED after an abort
 */
export async function decodeImages(
  images: readonly TakenImage[],
  target: ImageTarget,
  write: (index: number, bytes: Uint8Array) => void,
  onFault?: (index: number, error: LibtorchOodError) => void,
): Promise<void> {
  if (target.channels !== 1 && target.channels !== 3) {
    const found = `a network of ${target.channels} channels`;
    throw new LibtorchOodError(
      "ERR_SHAPE",
      `images: expected a network of 1 or 3 channels, which files and RGBA pixels can give, found ${found}`,
    );
  }
  let next = 0;
  let failure: { error: unknown } | undefined;
  let pixelsDone = 0;
  const work = async () => {
    for (let index = next++; index < images.length && failure === undefined; index = next++) {
      try {
        if (target.signal?.aborted) throw abortError(target.signal);
        const bytes = await decodeImage(images[index] as TakenImage, target).catch((error: unknown) => {
          if (onFault === undefined || !isImageFault(error)) throw error;
          onFault(index, error);
          return undefined;
        });
        if (bytes !== undefined) write(index, bytes);
        pixelsDone += target.size ** 2;
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
  if (failure !== undefined) throw failure.error;
}

/** The image in the form of `target`, plane after plane. */
async function decodeImage(image: TakenImage, target: ImageTarget): Promise<Uint8Array> {
  const { name } = image;
  const { channels, size } = target;
  if ("pixels" in image) {
    const fits = image.width === size && image.height === size && (target.resize !== "center-crop" || target.resizeTo === size);
    return fits ? toPlanes(image.pixels, 4, channels) : planesOf(name, rgba(image), target);
  }
  const bytes = await fileBytes(name, image, target);
  requireSignature(name, bytes);
  try {
    return await planesOf(name, await encoded(name, bytes, target), target);
  } catch (error) {
    const corrupt = isLibtorchOodError(error) && error.code === "ERR_CORRUPT_FILE";
    const repaired = corrupt && bytes[0] === 0xff ? repairJpeg(bytes) : undefined;
    if (repaired === undefined) throw error;
    return planesOf(name, await encoded(name, repaired, target), target);
  }
}

async function planesOf(name: string, source: Source, target: ImageTarget): Promise<Uint8Array> {
  const { sharpImage, format, width, height, orientation = 1 } = source;
  const { channels, size } = target;
  if (width === size && height === size && (target.resize !== "center-crop" || target.resizeTo === size)) {
    const { data, info } = await raw(name, format, sharpImage);
    return orient(toPlanes(data, info.channels, channels), size, orientation);
  }
  if (target.resize === "none") {
    throw new LibtorchOodError("ERR_SHAPE", `${name}: expected ${size}×${size} pixels (resize is "none"), found ${width}×${height}`);
  }
  const shorter = Math.min(width, height);
  const scaled = (length: number): number => (target.resize === "squash" ? size : Math.floor((target.resizeTo * length) / shorter));
  const backwards = storedBackwards(orientation);
  const x = axisOf(width, scaled(width), size, backwards.x);
  const y = axisOf(height, scaled(height), size, backwards.y);
  // A cut before the resize also keeps sharp from letting the JPEG decoder shrink the image by another kernel.
  const reduced = sharpImage
    .extract({ left: x.start, top: y.start, width: x.length, height: y.length })
    .resize(x.reduced, y.reduced, { fit: "fill", kernel: "linear", fastShrinkOnLoad: false });
  const whole = x.kept === x.reduced && y.kept === y.reduced;
  const kept = whole ? reduced : reduced.extract({ left: x.cut, top: y.cut, width: x.kept, height: y.kept });
  const { data, info } = await raw(name, format, kept);
  const planes = toPlanes(data, info.channels, channels);
  return orient(x.enlarge || y.enlarge ? interpolate(planes, x, y, size) : planes, size, orientation);
}

/** One axis of a resize. sharp reduces; {@link interpolate} enlarges, since sharp would enlarge half a pixel off its place. */
interface Axis extends SampledAxis {
  /** `start` and `length` are cut out first; that is reduced to `reduced`; out of that, `cut` and `kept` are cut. */
  start: number;
  length: number;
  reduced: number;
  cut: number;
  kept: number;
  enlarge: boolean;
}

/** Half of a whole number, rounded as Python's `round` does: torchvision's centre crop begins there. */
function halfToEven(length: number): number {
  const half = Math.floor(length / 2);
  return length % 2 === 0 || half % 2 === 0 ? half : half + 1;
}

/**
 * The axis that scales `length` pixels to `scaled` and keeps the middle `size` of them.
 *
 * @param backwards - whether the pixels are stored from the last to the first
 */
function axisOf(length: number, scaled: number, size: number, backwards: boolean): Axis {
  const before = halfToEven(scaled - size);
  const offset = backwards ? scaled - size - before : before;
  if (scaled <= length) {
    return { start: 0, length, reduced: scaled, cut: offset, kept: size, enlarge: false, at: (i) => i };
  }
  const position = (i: number): number => Math.min(length - 1, Math.max(0, ((i + offset + 0.5) * length) / scaled - 0.5));
  const start = Math.floor(position(0));
  const kept = Math.ceil(position(size - 1)) - start + 1;
  return { start, length: kept, reduced: kept, cut: 0, kept, enlarge: true, at: (i) => position(i) - start };
}

function rgba({ pixels, width, height }: Extract<TakenImage, { pixels: Uint8Array }>): Source {
  return { sharpImage: loadSharp()(asBuffer(pixels), { raw: { width, height, channels: 4 } }), format: undefined, width, height };
}

interface Source {
  readonly sharpImage: Sharp;
  readonly format: Format;
  readonly width: number;
  readonly height: number;
  /** EXIF orientation of the pixels that `sharpImage` gives. Default 1. */
  readonly orientation?: number;
}

async function encoded(name: string, bytes: Buffer, { maxPixels: asked, signal }: ImageTarget): Promise<Source> {
  const sharp = loadSharp();
  const format = bytes[0] === 0xff ? "jpeg" : bytes[0] === 0x89 ? "png" : "webp";
  // The limit is looked at below. A row may be read only once: memory then does not grow with the height.
  const options: SharpOptions = { failOn: "warning", ignoreIcc: true, limitInputPixels: maxSide ** 2, sequentialRead: true };
  let header = plainHeader(bytes);
  // Only the long way tells whether a JPEG is decoded row by row.
  if (header === undefined || header.width * header.height > maxPixels) header = await sharpHeader(name, format, sharp(bytes, options));
  const { width, height, orientation, inks, inRows } = header;
  const turned = orientation > 4;
  const upright = turned ? { width: height, height: width } : { width, height };
  const found = `${upright.width}×${upright.height}`;
  if (Math.max(width, height) > maxSide) throw corruptFile(name, `at most ${maxSide} pixels a side`, found);
  const limit = asked ?? (inRows ? maxPixelsInRows : maxPixels);
  if (width * height > limit)
    throw corruptFile(name, `an image of at most ${limit} pixels (maxPixels or --max-pixels sets the limit)`, found);
  const image = sharp(bytes, options);
  if (inks) {
    // The inks as they are in the file: sharp would convert them by a profile, its own where the file has none.
    const { data } = await raw(name, format, image.autoOrient().pipelineColourspace("cmyk").toColourspace("cmyk"));
    const pixels = await inksToRgb(data, signal);
    return { sharpImage: sharp(pixels, { raw: { ...upright, channels: 3 }, limitInputPixels: false }), format, ...upright };
  }
  const colours = image.toColourspace("srgb");
  if (orientation === 1) {
    // The decoder does not see an orientation that stands behind the pixels.
    const late = format === "png" ? pngOrientation(bytes) : 1;
    return { sharpImage: colours, format, width, height, orientation: late };
  }
  // To turn an image it has to be in memory as a whole; of a large one what is left of it is turned.
  if (width * height > maxPixels) return { sharpImage: colours, format, width, height, orientation };
  return { sharpImage: colours.autoOrient(), format, ...upright };
}

async function sharpHeader(name: string, format: Format, image: Sharp): Promise<ImageHeader> {
  const { width, height, orientation = 1, space, isProgressive } = await readable(name, format, () => image.metadata());
  const inks = space === "cmyk";
  return {
    width,
    height,
    orientation: orientation >= 1 && orientation <= 8 ? orientation : 1,
    inks,
    inRows: format === "jpeg" && !isProgressive && !inks,
  };
}

function raw(name: string, format: Format, image: Sharp) {
  return readable(name, format, () => image.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true }));
}

async function readable<T>(name: string, format: Format, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw corruptFile(name, "a sound image", decoderWords((error as Error).message, format), error);
  }
}

async function fileBytes(name: string, image: Exclude<TakenImage, { pixels: Uint8Array }>, target: ImageTarget): Promise<Buffer> {
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

/** Only the three formats reach a decoder: others that sharp may know (SVG, PDF, …) can refer to other files or run for long. */
function requireSignature(name: string, bytes: Buffer): void {
  const text = bytes.toString("latin1", 0, 12);
  const known = text.startsWith("\x89PNG\r\n\x1a\n") || text.startsWith("\xff\xd8\xff") || /^RIFF....WEBP/s.test(text);
  if (!known) {
    throw corruptFile(
      name,
      "a PNG, JPEG or WebP image",
      bytes.length === 0 ? "no bytes" : `bytes that begin ${bytes.toString("hex", 0, 12)}`,
    );
  }
}

/** sharp knows a Buffer of any realm, but a Uint8Array only of its own. */
function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

type SharpModule = typeof import("sharp");
let loaded: SharpModule | undefined;

function loadSharp(): SharpModule {
  if (loaded !== undefined) return loaded;
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- at first use, since most programs hold tensors and need no decoder
    loaded = require("sharp") as SharpModule;
  } catch (cause) {
    const reason = systemCode(cause) === "MODULE_NOT_FOUND" ? "it is not installed" : (cause as Error).message;
    throw new LibtorchOodError(
      "ERR_SHARP_NOT_FOUND",
      `images that are encoded or of another size than the network's need sharp: ${reason}; "npm install sharp" installs it`,
      { cause },
    );
  }
  return loaded;
}
