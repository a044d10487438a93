// Makes of images, encoded or as pixels, the rows of bytes that a model reads. JPEG, PNG and GIF are decoded natively, the other formats by sharp.

import { setImmediate as turn } from "node:timers/promises";
import { LibtorchOodError } from "../core/errors";
import { abortError } from "../native/call";
import type { NativeTensor, NativeVariation } from "../native/surface";
import { isImageFault, type Truncated } from "./failure";
import type { ImageGeometry } from "./geometry";
import type { TakenImage } from "./image";
import { decodeNatively, variationOf, type FileImage } from "./native-decoding";
import { Preprocessor } from "./preprocess";
import { preprocessWithSharp, requireFit, sharpSlots } from "./sharp-decoding";

/** The form that decoded images take. */
export interface ImageTarget extends ImageGeometry {
  /** Largest number of pixels of a file. Default: 100 million, and 250 million for a JPEG that is decoded row by row. */
  readonly maxPixels?: number | undefined;
  /** What becomes of a file that is cut off. Default "refuse". */
  readonly truncated?: Truncated | undefined;
  readonly signal: AbortSignal | undefined;
  /** How an image is varied for training, by its index and the size of its picture when it is upright. */
  readonly vary?: (index: number, width: number, height: number) => NativeVariation;
}

/** Pixels in memory that are handed on before the event loop turns, an image counting as some thousand: about a millisecond. */
const pixelsPerTurn = 1 << 18;
const pixelsOfAnImage = 1 << 12;
/** Files that are decoded by one native job. The first jobs are smaller, so that progress is told of early. */
const filesPerJob = 64;
const filesOfFirstJob = 4;

/** What {@link decodeImages} tells of single images, in any order. */
export interface DecodingEvents {
  /** Told of each image whose row is there. */
  readonly onDone?: ((index: number) => void) | undefined;
  /** Told of an image that cannot be decoded, whose row stays as it is. Without it the first such image ends the call. */
  readonly onFault?: ((index: number, error: LibtorchOodError) => void) | undefined;
}

/**
 * Makes of each image the row of its index in `destination`: `channels`×`size`×`size` bytes, plane after plane. Threads beside the compute thread read,
 * decode, resize and crop files as Pillow and torchvision do; pixels in memory and what sharp decodes are resized on the compute thread. EXIF orientation
 * is applied, alpha flattened onto black; colour profiles are ignored, as Pillow does. An image file of more than 48 million pixels is first reduced by
 * sharp to two to four times `resizeTo`, so that it is never in memory as a whole.
 *
 * @param destination - a row per image. It belongs to the call: nobody else touches it until the promise has settled
 * @throws ERR_CORRUPT_FILE for anything but a sound PNG, JPEG, WebP, GIF, TIFF or AVIF image within {@link ImageTarget.maxPixels}; ERR_IO for a file that
 *   cannot be read; ERR_SHAPE for an image of another size with resize `"none"`, and for a network of other than 1 or 3 channels; ERR_SHARP_NOT_FOUND if
 *   sharp is needed and not installed; ERR_LIBTORCH_NOT_FOUND without libtorch; ERR_ABORTED after an abort; and what the events throw
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
  let filesBegun = 0;
  let failure: { index: number; error: unknown } | undefined;
  /** Of several errors that of the first image counts, and before it one that is no image's. */
  const fail = (error: unknown, index = -1): void => {
    if (failure === undefined || index < failure.index) failure = { index, error };
  };
  const faulty = async (index: number, work: () => Promise<void>): Promise<void> => {
    try {
      if (target.signal?.aborted) throw abortError(target.signal);
      await work();
    } catch (error) {
      if (!isImageFault(error)) throw error;
      if (onFault === undefined) fail(error, index);
      else onFault(index, error);
    }
  };

  /** The next files; pixels in memory that lie between them are handed over. */
  const takeFiles = async (): Promise<FileImage[]> => {
    const files: FileImage[] = [];
    const count = Math.min(filesPerJob, filesOfFirstJob + (filesBegun >> 2));
    let pixels = 0;
    while (next < images.length && files.length < count && failure === undefined) {
      const index = next++;
      const image = images[index] as TakenImage;
      if ("pixels" in image) {
        await faulty(index, () => addPixels(image, index, target, preprocessor));
        pixels += pixelsOfAnImage + image.width * image.height;
        if (pixels >= pixelsPerTurn) {
          pixels = 0;
          await turn();
        }
      } else if ("fault" in image) await faulty(index, () => Promise.reject(image.fault));
      else files.push({ index, image });
    }
    filesBegun += files.length;
    return files;
  };

  // Two jobs at a time: while one is worked on, the next one waits.
  const lane = async (): Promise<void> => {
    try {
      for (let files = await takeFiles(); files.length > 0; files = await takeFiles()) {
        const others = await decodeNatively(files, target, destination, (index) => onDone?.(index));
        await Promise.all(
          others.map(({ index, image, error, header, bytes }) =>
            faulty(index, async () => {
              if (error !== undefined) throw error;
              await sharpSlots.run(async () => {
                if (failure === undefined || index < failure.index)
                  await preprocessWithSharp(image, bytes, header, index, target, preprocessor);
              });
            }),
          ),
        );
      }
    } catch (error) {
      fail(error);
    }
  };
  await Promise.all([lane(), lane()]);
  // Also after a failure: a job that still runs writes to the destination.
  await preprocessor.finish().catch((error: unknown) => fail(error));
  if (failure !== undefined) throw failure.error;
}

async function addPixels(
  image: Extract<TakenImage, { pixels: Uint8Array }>,
  index: number,
  target: ImageTarget,
  preprocessor: Preprocessor,
): Promise<void> {
  const { name, width, height, planes } = image;
  requireFit(name, image, target);
  const bytes = (planes ?? 4) * width * height;
  await preprocessor.reserve(bytes);
  preprocessor.add(
    {
      ...{ pixels: image.pixels, width, height, originalWidth: width, originalHeight: height, orientation: 1 },
      ...variationOf(target, index, { width, height, orientation: 1 }),
      ...(planes === undefined ? { channels: 4, layout: "interleaved" } : { channels: planes, layout: "planes" }),
    },
    index,
    bytes,
  );
}
