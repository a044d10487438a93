// Converts the images of a data set to another size or number of channels, with the one resize kernel and colour conversion that image files get.

import { integer, oneOf, optionalSignal, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { decodeImages, resizeKernel } from "../images/decode";
import { checkGeometry, imageResizes, type ImageResize } from "../images/geometry";
import type { TakenImage } from "../images/image";
import { Dataset, requireDataset } from "./dataset";
import { largestImageSize } from "./image-files";

/** The form that {@link conform} gives to images. */
export interface ImageForm {
  /** Number of channels: 1 (grey) or 3 (RGB). */
  readonly channels: number;
  /** Height and width in pixels, 1 to 4096. */
  readonly imageSize: number;
  /** How an image of another size is resized: see {@link ImageResize}. Default `"center-crop"`. */
  readonly resize?: ImageResize | undefined;
  /** Aborts the call, which then rejects with ERR_ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Converts the images of a data set to another size or number of channels. A data set whose images have that form already is returned as it is.
 *
 * Grey becomes colour by repetition. Colour becomes grey by ITU-R 601-2 luma. Another size needs the optional peer dependency sharp. The result
 * records how its images were resized. It has no normalization: use that of the network that looks at it.
 *
 * @param data - the data set; it does not change
 * @param form - number of channels and size
 * @throws ERR_OPTION where `data` is no Dataset, or an option is unknown or wrong; ERR_RANGE where a number is outside its range; ERR_SHAPE, naming
 *   the data set, for a conversion from or to a number of channels other than 1 and 3, for another size with resize `"none"`, and where the data
 *   set's arrays are gone; ERR_SHARP_NOT_FOUND where sharp is needed and not installed; ERR_ABORTED on an abort
 * @example
 * import { datasets } from "libtorch-ood";
 *
 * const { test } = await datasets.svhn("data", { splits: ["test"] });
 * const grey = await datasets.conform(test, { channels: 1, imageSize: 28 }); // as MNIST's images
 */
export async function conform(data: Dataset, form: ImageForm): Promise<Dataset> {
  requireDataset(data, "data");
  const { resize = "center-crop", ...given } = optionsObject(form, "form", ["channels", "imageSize", "resize", "signal"]);
  const channels = integer(given.channels, "channels", 1);
  const imageSize = integer(given.imageSize, "imageSize", 1, largestImageSize);
  oneOf(resize, "resize", imageResizes);
  const signal = optionalSignal(given.signal, "signal");
  const [found, height, width] = data.shape;
  const sized = height === imageSize && width === imageSize;
  if (found === channels && sized) return data;
  if (![1, 3].includes(found) || ![1, 3].includes(channels)) {
    const message = `${data.name}: expected images of ${formText([channels, imageSize, imageSize])}, found ${formText(data.shape)}`;
    throw new LibtorchOodError("ERR_SHAPE", `${message}; only 1 and 3 channels are made into each other`);
  }
  const size = channels * imageSize ** 2;
  const images = new Uint8Array(data.length * size);
  const taken = Array.from({ length: data.length }, (_, i): TakenImage => ({
    name: `${data.name}[${i}]`,
    width,
    height,
    // Made when it is its turn: RGBA of all would be several times the data set.
    get pixels() {
      return toRgba(data.image(i), found);
    },
  }));
  await decodeImages(taken, { ...checkGeometry({ channels, size: imageSize, resize }, "form"), signal }, (index, bytes) => images.set(bytes, index * size));
  return Dataset.fromArrays({
    ...{ name: data.set, part: data.part, images, labels: data.labels, classNames: data.classNames, shape: [channels, imageSize, imageSize] },
    ...(sized ? data.resize && { resize: data.resize } : { resize: { mode: resize, kernel: resizeKernel } }),
  });
}

/** "32×32×3": height, width, channels. */
export function formText([channels, height, width]: readonly [number, number, number]): string {
  return `${height}×${width}×${channels}`;
}

function toRgba(planes: Uint8Array, channels: number): Uint8Array<ArrayBuffer> {
  const area = planes.length / channels;
  const pixels = new Uint8Array(4 * area).fill(255);
  for (let i = 0; i < area; i++) {
    for (let channel = 0; channel < 3; channel++) pixels[4 * i + channel] = planes[(channels === 3 ? channel * area : 0) + i] as number;
  }
  return pixels;
}
