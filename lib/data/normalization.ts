// Per-channel mean and standard deviation: the constants of the literature, and those of a data set at hand.

import { describe, fail, finite, isRevoked, optionsObject, typedArrayName } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { shortList } from "../core/lists";

/** Pixels are scaled to 0 … 1, then (pixel − mean) / std per channel. */
export interface Normalization {
  /** Mean of each channel. */
  readonly mean: readonly number[];
  /** Standard deviation of each channel; positive. */
  readonly std: readonly number[];
}

/**
 * The constants in use. MNIST and Fashion-MNIST: mean and std of the training images. CIFAR-10: those of the DDU benchmark, which uses
 * them for CIFAR-100 too; its stds are per-image averages, the data set's own are .2470, .2435, .2616 (OpenOOD uses those). SVHN: mean and std of the
 * training images.
 */
export const normalizations: Readonly<Record<"mnist" | "fashionMnist" | "cifar10" | "cifar100" | "svhn", Normalization>> = {
  mnist: normalizationOf([0.1307], [0.3081]),
  fashionMnist: normalizationOf([0.286], [0.353]),
  cifar10: normalizationOf([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.201]),
  cifar100: normalizationOf([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.201]),
  svhn: normalizationOf([0.4377, 0.4438, 0.4728], [0.198, 0.201, 0.197]),
};

/** Networks take 1 to so many. */
const maxChannels = 65_536;
/** The smallest spread that bytes can have is some 1e-7; beyond this float32 does not hold the squares of what a first layer makes of the pixels. */
const largestPixel = 1e12;

/**
 * A frozen copy, checked.
 *
 * @throws ERR_OPTION, ERR_SHAPE where there is not one value per channel, ERR_NON_FINITE, ERR_RANGE where a std is not positive or makes pixels that no
 *   network could take
 */
export function checkNormalization(value: Normalization, channels: number): Normalization {
  if (typeof value !== "object" || value === null || isRevoked(value)) fail("ERR_OPTION", "normalization", "{ mean, std }", value);
  const given = optionsObject(value, "normalization", ["mean", "std"]);
  const [mean, std] = (["mean", "std"] as const).map((key) => {
    const values = shortList(given[key], maxChannels);
    if (values === undefined) fail("ERR_OPTION", `normalization.${key}`, `an array of ${channels} numbers`, given[key]);
    if (values.length !== channels) fail("ERR_SHAPE", `normalization.${key}`, `${channels} numbers, one per channel`, given[key]);
    return values.map((number, channel) => finite(number, `normalization.${key}[${channel}]`));
  }) as [number[], number[]];
  std.forEach((deviation, channel) => {
    if (deviation <= 0) fail("ERR_RANGE", `normalization.std[${channel}]`, "a positive number", deviation);
    const largest = Math.max(Math.abs(mean[channel] as number), Math.abs(1 - (mean[channel] as number))) / deviation;
    if (Math.fround(deviation) > 0 && largest <= largestPixel) return;
    const found = `${mean[channel]} and ${deviation}, which make ${largest.toPrecision(3)}`;
    throw new LibtorchOodError(
      "ERR_RANGE",
      `normalization: expected mean and std of channel ${channel} that make pixels of at most ${largestPixel}, found ${found}`,
    );
  });
  return normalizationOf(mean, std);
}

/**
 * Mean and standard deviation (ddof 0) of every pixel of each channel, scaled to 0 … 1. Exact in float64: pixels are counted by value first,
 * so no rounding grows with their number.
 *
 * @param data - uint8 images, NCHW, and their shape [C, H, W]; a Dataset serves
 * @throws ERR_SHAPE for no images, ERR_RANGE where a channel has one value everywhere (it cannot be divided by a std of 0)
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
