// ImageSource: whatever yields pictures in an order that follows from a seed. Training and extraction pull batches of it; nothing needs the whole set.

import type { ImageGeometry } from "../../images/geometry";
import type { ImageFailure, OnError, Truncated } from "../../images/failure";
import type { Tensor } from "../../native/tensor";
import type { AugmentationChoice } from "../augmentation";

/** A random order of a source. Without one, images come in the source's own order. */
export interface SourceOrder {
  /** Integer, 0 to 2⁵³ − 1. */
  readonly seed: number;
  /** Number of the epoch, from 0: each has an order of its own. */
  readonly epoch: number;
  /** False: the images come in the source's own order, and only the draws of the augmentation follow from seed and epoch. Default true. */
  readonly shuffle?: boolean;
}

/** What {@link ImageSource.batches} takes. */
export interface BatchOptions {
  /** Number of images in a batch, 1 to 2²⁰. The last may be smaller, and so is one of which images were left out. */
  readonly batchSize: number;
  /** What a picture becomes: the `input` of a model, or the part of it that says size, resize, crop, kernel and channels. */
  readonly input: Partial<ImageGeometry> & Pick<ImageGeometry, "size">;
  /** How images are varied; it needs `order`. Default "none". */
  readonly augmentation?: AugmentationChoice;
  /** Random order and draws. Default: the source's own order. */
  readonly order?: SourceOrder;
  /** Part of the images that this process takes: those at the places `index`, `index + count`, … of the order. Default: all. */
  readonly shard?: {
    /** Number of the part, from 0 to `count` − 1. */
    readonly index: number;
    /** Number of parts. */
    readonly count: number;
  };
  /** Number of the first batch, from 0: the batches before it are passed over without being decoded. Default 0. */
  readonly start?: number;
  /** What happens with images that cannot be decoded: see {@link OnError}. Their `index` counts the images of all batches. Default "throw". */
  readonly onError?: OnError;
  /** Largest number of pixels that an image file may have: see {@link ExtractOptions}. */
  readonly maxPixels?: number;
  /** What becomes of an image file whose end is missing. "refuse": it cannot be decoded. "accept": what is there of it is taken. Default "refuse". */
  readonly truncated?: Truncated;
  /** Signal that ends the iteration with ERR_ABORTED. */
  readonly signal?: AbortSignal;
}

/** A batch of decoded images. Whoever takes it disposes of `images`. */
export interface SourceBatch {
  /** uint8 [n, C, size, size]; n may be 0 where all images of the batch were left out. */
  readonly images: Tensor;
  /** The class of each image, [n]; −1 where it is not known. */
  readonly labels: Int32Array;
  /** What messages and lists call each image: its path, or its name in a shard. */
  readonly names: readonly string[];
  /** Images that `onError` left out. */
  readonly skipped: readonly ImageFailure[];
}

/**
 * Whatever yields labelled pictures: a folder, a list of files, tar shards, an iterable ({@link sources} makes them), a {@link Dataset}, or an object of
 * your own with these members.
 */
export interface ImageSource {
  /** Number of images; undefined where it is not known before the end. */
  readonly length: number | undefined;
  /** Name of each class, in label order; undefined where there are none. */
  readonly classNames: readonly string[] | undefined;
  /**
   * Decodes the images batch by batch: a few batches ahead of whoever takes them, and no more. The same options give the same batches, however many
   * images are decoded at a time.
   */
  batches(options: BatchOptions): AsyncIterable<SourceBatch>;
}

/** Whether a value is an ImageSource. */
export function isSource(value: unknown): value is ImageSource {
  return typeof value === "object" && value !== null && typeof (value as Partial<ImageSource>).batches === "function";
}
