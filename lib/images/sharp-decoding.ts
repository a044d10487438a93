// Decodes with sharp what the native decoders decline, and has the pixels preprocessed on the compute thread.

import { availableParallelism } from "node:os";
import { isLibtorchOodError, LibtorchOodError } from "../core/errors";
import type { NativeImageHeader } from "../native/surface";
import type { ImageTarget } from "./decode";
import { asBuffer, fileBytes } from "./file-bytes";
import { maxDecodedPixels, variationOf, type FileImage } from "./native-decoding";
import type { Preprocessor } from "./preprocess";
import { openImage, readable, type OpenedImage } from "./sharp-image";
import { formatOf, type Format } from "./signature";

/** Runs so many calls at a time; the others wait their turn. */
class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await call();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

/** sharp works in libuv's pool of four threads: one of them stays free for files and names. */
export const sharpSlots = new Slots(Math.min(3, availableParallelism()));

/**
 * Decodes an image and hands it over.
 *
 * @param given - its bytes, where they have been read
 * @param header - its header, where that has been read
 */
export async function preprocessWithSharp(
  image: FileImage["image"],
  given: Uint8Array | undefined,
  header: NativeImageHeader | undefined,
  index: number,
  target: ImageTarget,
  preprocessor: Preprocessor,
): Promise<void> {
  const { name } = image;
  const bytes = given === undefined ? await fileBytes(image, target) : asBuffer(given);
  const format = formatOf(name, bytes);
  const decode = async (failOn: "warning" | "none"): Promise<void> => {
    const opened = await openImage(name, bytes, format, target, { header, failOn });
    await preprocessOpened(name, format, opened, index, target, preprocessor);
  };
  try {
    await decode("warning");
  } catch (error) {
    if (target.truncated !== "accept" || !isLibtorchOodError(error) || error.code !== "ERR_CORRUPT_FILE") throw error;
    await decode("none"); // sharp does not tell a file that is cut off from one that is damaged
  }
}

async function preprocessOpened(
  name: string,
  format: Format,
  { sharpImage, inks, width: originalWidth, height: originalHeight, orientation }: OpenedImage,
  index: number,
  target: ImageTarget,
  preprocessor: Preprocessor,
): Promise<void> {
  const turned = orientation > 4;
  requireFit(name, turned ? { width: originalHeight, height: originalWidth } : { width: originalWidth, height: originalHeight }, target);
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
        ...variationOf(target, index, { width: originalWidth, height: originalHeight, orientation }),
      },
      index,
      reserved,
    );
  } catch (error) {
    preprocessor.release(reserved);
    throw error;
  }
}

/** @throws ERR_SHAPE for an image of another size with resize "none" */
export function requireFit(name: string, { width, height }: { width: number; height: number }, { resize, size }: ImageTarget): void {
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
