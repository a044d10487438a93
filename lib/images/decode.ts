// Decodes and resizes images through sharp, an optional peer dependency that is loaded when an image first needs it.

import { availableParallelism } from "node:os";
import { setImmediate as turn } from "node:timers/promises";
import type { Sharp, SharpOptions } from "sharp";
import { LibtorchOodError } from "../errors";
import { corruptFile, systemCode } from "../files/file-errors";
import { openRegularFile, readExactly } from "../files/regular-file";
import { abortError } from "../native-call";
import { maxPixels, type TakenImage } from "./image";
import { toPlanes } from "./pixels";

/**
 * What becomes of an image that has not the size of the network.
 * - `"center-crop"`: its shorter side is scaled to the size, and the middle is kept;
 * - `"squash"`: both sides are scaled to the size, whatever that does to the proportions;
 * - `"none"`: it is refused.
 */
export type ImageResize = "center-crop" | "squash" | "none";

export const imageResizes = ["center-crop", "squash", "none"] as const;

/** The kernel of every resize: a triangle as wide as the reduction, which is antialiased bilinear (Pillow's `BILINEAR`). */
export const resizeKernel = "antialiased-bilinear";

export interface ImageTarget {
  /** 1 (grey) or 3 (RGB). */
  readonly channels: number;
  /** Height and width. */
  readonly size: number;
  readonly resize: ImageResize;
  readonly signal: AbortSignal | undefined;
}

/** No image of {@link maxPixels} needs a larger file. */
const maxFileBytes = 1 << 28;
/** sharp works in libuv's pool of four threads: one of them stays free for files and names. */
const imagesAtOnce = Math.min(3, availableParallelism());
/** Pixels that are laid out on the JavaScript thread before the event loop turns: about a millisecond. */
const pixelsPerTurn = 1 << 18;

/**
 * Decodes the images to `channels`×`size`×`size` bytes each and hands them to `write` in any order, a few at a time, off the JavaScript thread.
 * EXIF orientation is applied; colour profiles are not, as Pillow and torchvision do not.
 *
 * @throws ERR_CORRUPT_FILE for anything but a sound PNG, JPEG or WebP image of at most {@link maxPixels}, ERR_IO for a file that cannot be read,
 *   ERR_SHAPE for another size with resize `"none"`, ERR_SHARP_NOT_FOUND where sharp is needed and not installed, ERR_ABORTED
 */
export async function decodeImages(
  images: readonly TakenImage[],
  target: ImageTarget,
  write: (index: number, bytes: Uint8Array) => void,
): Promise<void> {
  if (target.channels !== 1 && target.channels !== 3) {
    const found = `a network of ${target.channels} channels`;
    throw new LibtorchOodError("ERR_SHAPE", `images: expected a network of 1 or 3 channels, which files and RGBA pixels can give, found ${found}`);
  }
  let next = 0;
  let failure: { error: unknown } | undefined;
  let pixelsDone = 0;
  const work = async () => {
    for (let index = next++; index < images.length && failure === undefined; index = next++) {
      try {
        if (target.signal?.aborted) throw abortError(target.signal);
        const { pixels, channels } = await targetPixels(images[index] as TakenImage, target);
        write(index, toPlanes(pixels, channels, target.channels));
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

/** The image at the size wanted, H×W×channels. */
async function targetPixels(image: TakenImage, target: ImageTarget): Promise<{ pixels: Uint8Array; channels: number }> {
  const { size, resize } = target;
  if ("pixels" in image) {
    const { name, pixels, width, height } = image;
    if (width === size && height === size) return { pixels, channels: 4 };
    requireResize(name, width, height, target);
    const sharp = loadSharp();
    return raw(name, resized(sharp(pixels, { raw: { width, height, channels: 4 } }), size, resize));
  }
  const sharp = loadSharp();
  const { name } = image;
  const bytes = "path" in image ? await readFile(image.path) : image.encoded;
  requireSignature(name, bytes);
  const options: SharpOptions = { failOn: "warning", ignoreIcc: true, limitInputPixels: maxPixels };
  const { width, height } = await readable(name, async () => (await sharp(bytes, options).metadata()).autoOrient);
  const upright = sharp(bytes, options).autoOrient().toColourspace("srgb");
  if (width === size && height === size) return raw(name, upright);
  requireResize(name, width, height, target);
  // A cut before the resize keeps sharp from letting the JPEG decoder shrink the image by another kernel.
  return raw(name, resized(upright.extract({ left: 0, top: 0, width, height }), size, resize));
}

function resized(image: Sharp, size: number, resize: ImageResize): Sharp {
  return image.resize(size, size, { fit: resize === "squash" ? "fill" : "cover", kernel: "linear", fastShrinkOnLoad: false });
}

async function raw(name: string, image: Sharp): Promise<{ pixels: Uint8Array; channels: number }> {
  const { data, info } = await readable(name, () => image.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true }));
  return { pixels: data, channels: info.channels };
}

async function readable<T>(name: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw corruptFile(name, `a sound image of at most ${maxPixels} pixels`, `one of which sharp says: ${(error as Error).message}`, error);
  }
}

function requireResize(name: string, width: number, height: number, { size, resize }: ImageTarget): void {
  if (resize !== "none") return;
  throw new LibtorchOodError("ERR_SHAPE", `${name}: expected ${size}×${size} pixels (resize is "none"), found ${width}×${height}`);
}

async function readFile(path: string): Promise<Buffer> {
  const file = await openRegularFile(path);
  try {
    if (file.size > maxFileBytes) throw corruptFile(path, `an image file of at most ${maxFileBytes} bytes`, `${file.size} bytes`);
    const bytes = Buffer.alloc(file.size);
    await readExactly(file.handle, path, 0, bytes);
    return bytes;
  } finally {
    await file.handle.close();
  }
}

/** Only the three formats reach a decoder: others that sharp may know (SVG, PDF, …) can refer to other files or run for long. */
function requireSignature(name: string, bytes: Buffer): void {
  const text = bytes.toString("latin1", 0, 12);
  const known = text.startsWith("\x89PNG\r\n\x1a\n") || text.startsWith("\xff\xd8\xff") || /^RIFF....WEBP/s.test(text);
  if (!known) {
    throw corruptFile(name, "a PNG, JPEG or WebP image", bytes.length === 0 ? "no bytes" : `bytes that begin ${bytes.toString("hex", 0, 12)}`);
  }
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
