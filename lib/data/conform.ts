// Images of one size and number of channels as images of another, as pictures in files are: one kernel, one conversion of colour.

import { integer, oneOf, optionalSignal, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { decodeImages, imageResizes, resizeKernel, type ImageResize } from "../images/decode";
import type { TakenImage } from "../images/image";
import { Dataset, requireDataset } from "./dataset";
import { largestImageSize } from "./image-files";

/** What images are to become. */
export interface ImageForm {
  /** 1 (grey) or 3 (RGB). */
  readonly channels: number;
  /** Height and width. */
  readonly imageSize: number;
  /** Default: "center-crop". */
  readonly resize?: ImageResize | undefined;
  /** Aborts the call, which then throws ERR_ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The data set with images of this form: itself where they have it. Grey becomes colour by being repeated, colour becomes grey by ITU-R 601-2 luma; another
 * size needs sharp. The result has no normalisation, which is that of whoever looks at it, and says how its images were resized.
 *
 * @example
 * const svhnGrey = await datasets.conform(svhn.test, { channels: 1, imageSize: 28 });
 * @throws ERR_OPTION, ERR_RANGE; ERR_SHAPE naming the data set, for channels that are neither 1 nor 3 or another size with resize "none"; ERR_SHARP_NOT_FOUND, ERR_ABORTED
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
  await decodeImages(taken, { channels, size: imageSize, resize, signal }, (index, bytes) => images.set(bytes, index * size));
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
