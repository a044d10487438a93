// Converts the images of a data set to another size or number of channels, by the resize and colour conversion that image files get.

import { optionalSignal, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { allocateBytes } from "../formats/regular-file";
import { decodeImages } from "../images/decode";
import { isForm, resizeRecord, resizeWords, type ImageResize } from "../images/geometry";
import type { TakenImage } from "../images/image";
import { Dataset, requireDataset } from "./dataset";
import { checkForm, formKeys } from "./image-form";
import type { PreprocessingName, PreprocessingOptions } from "./preprocessing";

/** The form that {@link conform} gives to images: `channels` and `imageSize`, or `preprocessing`. */
export interface ImageForm {
  /** Number of channels: 1 (grey) or 3 (RGB). */
  readonly channels?: number | undefined;
  /** Height and width in pixels, 1 to 4096. */
  readonly imageSize?: number | undefined;
  /** How an image of another size is resized: see {@link ImageResize}. Default `"center-crop"`. */
  readonly resize?: ImageResize | undefined;
  /**
   * The preprocessing of a model, or the name of a usual one, in place of `channels`, `imageSize` and `resize`; see {@link datasets.preprocessings}. The
   * result then has its normalization.
   */
  readonly preprocessing?: PreprocessingOptions | PreprocessingName | undefined;
  /** Aborts the call, which then rejects with ERR_ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Converts the images of a data set to another size or number of channels. A data set whose images have that form already is returned as it is.
 *
 * Grey becomes colour by repetition. Colour becomes grey by ITU-R 601-2 luma. The pixels are those that Pillow and torchvision's evaluation transforms
 * give. The result records how its images were resized. Without `preprocessing` it has no normalization: use that of the network that looks at it.
 *
 * @param data - the data set; it does not change
 * @param form - number of channels and size, or a preprocessing
 * @throws ERR_OPTION where `data` is no Dataset, where an option is unknown or wrong, and for `preprocessing` beside an option that it replaces;
 *   ERR_RANGE where a number is outside its range; ERR_SHAPE, naming the data set, for a conversion from or to a number of channels other than 1 and 3,
 *   for another size with resize `"none"`, and where the data set's arrays are gone; ERR_SHAPE and ERR_NON_FINITE for constants of a `preprocessing`
 *   that are no normalization; ERR_LIBTORCH_NOT_FOUND where images have to be converted and libtorch is not installed; ERR_OUT_OF_MEMORY where the memory
 *   for the images is unavailable; ERR_ABORTED on an abort
 * @example
 * import { datasets } from "libtorch-ood";
 *
 * const { test } = await datasets.svhn("data", { splits: ["test"] });
 * const grey = await datasets.conform(test, { channels: 1, imageSize: 28 }); // as MNIST's images
 */
export async function conform(data: Dataset, form: ImageForm): Promise<Dataset> {
  requireDataset(data, "data");
  const { signal: given, ...options } = optionsObject(form, "form", [...formKeys, "signal"]);
  const { geometry, normalization } = checkForm(options);
  const signal = optionalSignal(given, "signal");
  const { channels, size: imageSize } = geometry;
  const [found, height, width] = data.shape;
  const sized = isForm(geometry, width, height);
  const square = height === imageSize && width === imageSize;
  const made = square && data.resize !== undefined && resizeWords(data.resize) === resizeWords(resizeRecord(geometry)); // not cropped again
  if (found === channels && (sized || made)) return normalization === undefined ? data : data.withNormalization(normalization);
  if (!isPlanes(found) || !isPlanes(channels)) {
    const message = `${data.name}: expected images of ${formText([channels, imageSize, imageSize])}, found ${formText(data.shape)}`;
    throw new LibtorchOodError("ERR_SHAPE", `${message}; only 1 and 3 channels are made into each other`);
  }
  const images = allocateBytes(data.length * channels * imageSize ** 2, data.name);
  const taken = Array.from({ length: data.length }, (_, i): TakenImage => ({
    ...{ name: `${data.name}[${i}]`, width, height, planes: found },
    // Copied when it is its turn: the data set's arrays are the caller's, who could transfer them meanwhile.
    get pixels() {
      return Uint8Array.from(data.image(i));
    },
  }));
  await decodeImages(taken, { ...geometry, signal }, images);
  const resize = sized ? data.resize : resizeRecord(geometry);
  return Dataset.fromArrays({
    ...{ name: data.set, part: data.part, images, labels: data.labels, classNames: data.classNames, shape: [channels, imageSize, imageSize] },
    ...(resize === undefined ? {} : { resize }),
    ...(normalization === undefined ? {} : { normalization }),
  });
}

function isPlanes(channels: number): channels is 1 | 3 {
  return channels === 1 || channels === 3;
}

/** "32×32×3": height, width, channels. */
export function formText([channels, height, width]: readonly [number, number, number]): string {
  return `${height}×${width}×${channels}`;
}
