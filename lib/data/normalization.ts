// Normalization: mean and standard deviation of each channel, from the literature or computed from a data set.

import { describe, fail, finite, isRevoked, optionsObject, typedArrayName } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { shortList } from "../core/lists";

/** Mean and standard deviation of each channel. Pixels are scaled to 0 … 1, then become (pixel − mean) / std. */
export interface Normalization {
  /** Mean of each channel, for pixels scaled to 0 … 1; one number per channel. */
  readonly mean: readonly number[];
  /** Standard deviation of each channel, for pixels scaled to 0 … 1; one positive number per channel. */
  readonly std: readonly number[];
}

/**
 * The constants that the literature uses.
 *
 * - `mnist`, `fashionMnist`, `svhn`: mean and standard deviation of the training images.
 * - `cifar10`, `cifar100`: those of the DDU benchmark, which uses the constants of CIFAR-10 for both. Its standard deviations are per-image averages.
 *   Those of CIFAR-10 itself are 0.2470, 0.2435 and 0.2616, which OpenOOD uses.
 */
export const normalizations: Readonly<Record<"mnist" | "fashionMnist" | "cifar10" | "cifar100" | "svhn", Normalization>> = {
  mnist: normalizationOf([0.1307], [0.3081]),
  fashionMnist: normalizationOf([0.286], [0.353]),
  cifar10: normalizationOf([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.201]),
  cifar100: normalizationOf([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.201]),
  svhn: normalizationOf([0.4377, 0.4438, 0.4728], [0.198, 0.201, 0.197]),
};

/** The largest number of channels that a network takes. */
const maxChannels = 65_536;
/**
 * The smallest spread that bytes can have is about 1e-7. Beyond this limit float32 does not hold the squares of what a first layer makes of the
 * pixels.
 */
const largestPixel = 1e12;

/**
 * A frozen, checked copy.
 *
 * @throws ERR_OPTION where it is not `{ mean, std }`; ERR_SHAPE where there is not one value per channel; ERR_NON_FINITE for NaN or infinity;
 *   ERR_RANGE where a standard deviation is not positive, or makes pixels larger than a network can take
 */
export function checkNormalization(value: Normalization, channels: number, name = "normalization"): Normalization {
  if (typeof value !== "object" || value === null || isRevoked(value)) fail("ERR_OPTION", name, "{ mean, std }", value);
  const given = optionsObject(value, name, ["mean", "std"]);
  const [mean, std] = (["mean", "std"] as const).map((key) => {
    const values = shortList(given[key], maxChannels);
    if (values === undefined) fail("ERR_OPTION", `${name}.${key}`, `an array of ${channels} numbers`, given[key]);
    if (values.length !== channels) fail("ERR_SHAPE", `${name}.${key}`, `${channels} numbers, one per channel`, given[key]);
    return values.map((number, channel) => finite(number, `${name}.${key}[${channel}]`));
  }) as [number[], number[]];
  std.forEach((deviation, channel) => {
    if (deviation <= 0) fail("ERR_RANGE", `${name}.std[${channel}]`, "a positive number", deviation);
    const largest = Math.max(Math.abs(mean[channel] as number), Math.abs(1 - (mean[channel] as number))) / deviation;
    if (Math.fround(deviation) > 0 && largest <= largestPixel) return;
    const found = `${mean[channel]} and ${deviation}, which make ${largest.toPrecision(3)}`;
    throw new LibtorchOodError(
      "ERR_RANGE",
      `${name}: expected mean and std of channel ${channel} that make pixels of at most ${largestPixel}, found ${found}`,
    );
  });
  return normalizationOf(mean, std);
}

/**
 * Mean and standard deviation (ddof 0) of all pixels of each channel, for pixels scaled to 0 … 1. Pixels are counted by value first, so that no
 * rounding grows with their number.
 *
 * @param data - uint8 images, NCHW, and their shape `[C, H, W]`, or a Dataset
 * @throws ERR_OPTION where `data` is neither; ERR_SHAPE where there is no image, or the bytes are no whole number of images; ERR_RANGE where all
 *   pixels of a channel are equal, because one cannot divide by a standard deviation of 0
 * @example
 * import { datasets } from "libtorch-ood";
 *
 * const images = new Uint8Array([0, 255, 255, 0]); // two grey images of 1×2 pixels
 * datasets.computeNormalization({ images, shape: [1, 1, 2] }); // { mean: [0.5], std: [0.5] }
 */
export function computeNormalization(data: { images: Uint8Array; shape: readonly [number, number, number] }): Normalization {
  const { images, shape } = (data ?? {}) as Partial<typeof data>;
  const sizes = shortList(shape, 3);
  if (!ArrayBuffer.isView(images) || typedArrayName(images) !== "Uint8Array" || sizes?.length !== 3 || !sizes.every(isSize)) {
    fail("ERR_OPTION", "data", "a Dataset, or { images, shape } with a shape of channels, height and width", data);
  }
  const [channels, height, width] = sizes as [number, number, number];
  const plane = height * width;
  const { length = images.length / (channels * plane) } = data as { length?: number }; // a Dataset's, whose buffer may have shrunk
  if (images.length === 0 || images.length % (channels * plane) !== 0 || images.length !== length * channels * plane) {
    fail("ERR_SHAPE", "images", `a positive multiple of ${channels * plane} bytes for shape [${sizes.join(", ")}]`, images);
  }
  const counts = Array.from({ length: channels }, () => new Float64Array(256));
  for (let start = 0, channel = 0; start < images.length; start += plane, channel = (channel + 1) % channels) {
    const count = counts[channel] as Float64Array;
    for (let i = start; i < start + plane; i++) (count[images[i] as number] as number)++;
  }
  const pixels = images.length / channels;
  const mean = counts.map((count) => count.reduce((sum, n, value) => sum + n * value, 0) / pixels);
  const std = counts.map((count, channel) => {
    const center = mean[channel] as number;
    return Math.sqrt(count.reduce((sum, n, value) => sum + n * (value - center) ** 2, 0) / pixels);
  });
  const constant = std.indexOf(0);
  if (constant >= 0) {
    throw new LibtorchOodError(
      "ERR_RANGE",
      `images: expected more than one value in channel ${constant}, found ${describe(mean[constant])} everywhere`,
    );
  }
  return normalizationOf(
    mean.map((value) => value / 255),
    std.map((value) => value / 255),
  );
}

function isSize(size: unknown): boolean {
  return Number.isSafeInteger(size) && (size as number) >= 1;
}

function normalizationOf(mean: readonly number[], std: readonly number[]): Normalization {
  return Object.freeze({ mean: Object.freeze([...mean]), std: Object.freeze([...std]) });
}
