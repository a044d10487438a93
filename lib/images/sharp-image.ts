// Opens encoded images with sharp, an optional peer dependency that is loaded when an image first needs it.

import type { Metadata, Sharp, SharpOptions } from "sharp";
import { LibtorchOodError } from "../core/errors";
import { corruptFile, systemCode } from "../core/file-errors";
import type { ImageTarget } from "./decode";
import { decoderTurn } from "./decoder-turns";
import { decoderWords } from "./decoder-words";
import { plainHeader, type ImageHeader } from "./header";
import { maxPixels, maxPixelsInRows, maxSide } from "./image";
import { asStillAvif, type Format } from "./signature";

/** An encoded image whose header has been read and is within the limits. */
export interface OpenedImage {
  readonly sharpImage: Sharp;
  /** Whether `sharpImage` gives C, M, Y, K. */
  readonly inks: boolean;
  /** Size as stored. */
  readonly width: number;
  readonly height: number;
  /** EXIF orientation of the pixels that `sharpImage` gives. */
  readonly orientation: number;
}

/**
 * Opens an encoded image. Only its header is read.
 *
 * @param given - the bytes of the file
 * @param header - its header, where it has been read
 * @param failOn - "none" takes what there is of an image that is cut off or damaged
 * @throws ERR_CORRUPT_FILE for one whose header cannot be read, whose samples are of another kind than 8 or 16 bits, or that is larger than the limit;
 *   ERR_SHARP_NOT_FOUND
 */
export async function openImage(
  name: string,
  given: Buffer,
  format: Format,
  { maxPixels: asked }: Pick<ImageTarget, "maxPixels">,
  { header: known, failOn }: { header: ImageHeader | undefined; failOn: "warning" | "none" },
): Promise<OpenedImage> {
  const bytes = format === "avif" ? asStillAvif(given) : given;
  // The limit is looked at below. A row may be read only once: memory then does not grow with the height.
  const options: SharpOptions = { failOn, ignoreIcc: true, limitInputPixels: maxSide ** 2, sequentialRead: true };
  const header = known ?? plainHeader(bytes) ?? (await sharpHeader(name, format, () => loadSharp()(bytes, options).metadata()));
  const { width, height, orientation, inks, inRows } = header;
  const found = orientation > 4 ? `${height}×${width}` : `${width}×${height}`;
  if (Math.max(width, height) > maxSide) throw corruptFile(name, `at most ${maxSide} pixels a side`, found);
  const limit = asked ?? (inRows ? maxPixelsInRows : maxPixels);
  if (width * height > limit)
    throw corruptFile(name, `an image of at most ${limit} pixels (maxPixels or --max-pixels sets the limit)`, found);
  const image = loadSharp()(bytes, options);
  // The inks as they are in the file: sharp would convert them by a profile, its own where the file has none.
  const sharpImage = inks ? image.pipelineColourspace("cmyk").toColourspace("cmyk") : image.toColourspace("srgb");
  return { sharpImage, inks, width, height, orientation };
}

async function sharpHeader(name: string, format: Format, read: () => Promise<Metadata>): Promise<ImageHeader> {
  const { width, height, orientation = 1, space, isProgressive, depth } = await readable(name, format, read);
  // What a number of another kind stands for, and which is white, is not in the file.
  if (depth !== "uchar" && depth !== "ushort") throw corruptFile(name, "an image of 8 or 16 bits a sample", `one of ${depth}`);
  const inks = space === "cmyk";
  return {
    width,
    height,
    orientation: orientation >= 1 && orientation <= 8 ? orientation : 1,
    inks,
    inRows: format === "jpeg" && !isProgressive && !inks,
  };
}

/** What a call of sharp gives. @throws ERR_CORRUPT_FILE with the decoder's words for what it throws */
export async function readable<T>(name: string, format: Format, call: () => Promise<T>): Promise<T> {
  try {
    return await decoderTurn(call);
  } catch (error) {
    throw corruptFile(name, "a sound image", decoderWords((error as Error).message, format), error);
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
      `images of this format or size need sharp: ${reason}; "npm install sharp" installs it`,
      { cause },
    );
  }
  return loaded;
}
