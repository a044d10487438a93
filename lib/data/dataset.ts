// Dataset: images as bytes with their labels, the form in which every function of the library takes labelled images.

import { createHash } from "node:crypto";
import { describe, fail, finite, integer, oneOf, optionsObject, string, typedArrayName } from "../core/checks";
import { checkClassNames } from "../core/class-names";
import { LibtorchOodError } from "../core/errors";
import { allocateBytes } from "../formats/regular-file";
import { imageResizes, type ResizeRecord } from "../images/geometry";
import { maxUnstatedClasses } from "../core/labels";
import { listOf, shortList } from "../core/lists";
import { checkNormalization, type Normalization } from "./normalization";
import { randomPermutation } from "../core/random-permutation";
import type { TakenImage } from "../images/image";
import { checkBatchOptions, decodedBatches } from "./sources/batches";
import { permuted, type SourceItem } from "./sources/items";
import type { BatchOptions, SourceBatch } from "./sources/source";

/** The shape of an image: channels, height, width. */
export type ImageShape = readonly [channels: number, height: number, width: number];

/** What {@link Dataset.fromArrays} takes. */
export interface DatasetArrays {
  /** N · C · H · W bytes: image after image, in each channel after channel, in each row by row (NCHW). They are not copied. */
  images: Uint8Array | Uint8ClampedArray;
  /** The class of each image: N integers from 0 to the number of classes − 1. An Int32Array is not copied. */
  labels: ArrayLike<number> | BigInt64Array | BigUint64Array;
  /** The shape of every image: `[C, H, W]`. */
  shape: readonly number[];
  /** One name per class, in label order, no name twice. Default: `"0"`, `"1"`, … up to the largest label. */
  classNames?: readonly string[];
  /** Name of the data set. Default `"images"`. */
  name?: string;
  /** The part of the data set that these images are: `"train"`, `"test"` or another name. Default: none. */
  part?: string;
  /** Mean and standard deviation of each channel, for pixels scaled to 0 … 1. Default: none; a network then takes that of its training images. */
  normalization?: Normalization;
  /**
   * How images of another size were resized, with `kernel` in your own words, such as `"bilinear without antialiasing"`. Results report it, because a
   * resize kernel leaves traces that tell data sets apart. Default: none, for images that were not resized or where it is not known.
   */
  resize?: ResizeRecord;
}

/** What {@link Dataset.split} gives. */
export interface DatasetSplit {
  /** The images that remain for training, in their order. */
  readonly train: Dataset;
  /** The images that were drawn for validation, in their order. */
  readonly validation: Dataset;
  /** Indices of the validation images in the data set that was split, ascending. */
  readonly validationIndices: Uint32Array;
  /**
   * SHA-256, in hexadecimal, over N and the validation indices as little-endian uint32. Equal splits of data sets of equal length have equal hashes.
   */
  readonly indexHash: string;
}

/**
 * N images of one shape with their labels. Its fields never change. The arrays are not copied: whoever holds them must not write to them. Where their
 * memory is gone, because it was transferred to a worker or resized, every use throws ERR_SHAPE.
 *
 * @example
 * import { Dataset } from "libtorch-ood";
 *
 * const images = new Uint8Array(10 * 28 * 28); // ten grey images of 28×28 pixels
 * const labels = [0, 1, 1, 0, 1, 0, 0, 1, 0, 1];
 * const data = Dataset.fromArrays({ images, labels, shape: [1, 28, 28], classNames: ["cat", "dog"] });
 * const { train, validation } = data.split(0.2, 1); // 8 and 2 images
 */
export class Dataset {
  /** Name of the data set and part: `"CIFAR-10 test"`. */
  readonly name: string;
  /** Name of the data set that the images belong to: `"CIFAR-10"`. */
  readonly set: string;
  /** The part of the data set: `"train"`, `"test"` or another name. Undefined where it is not known, or where the images are the whole set. */
  readonly part: string | undefined;
  /** The images, uint8, NCHW: N · C · H · W bytes. */
  readonly images: Uint8Array;
  /** The class of each image, [N]. */
  readonly labels: Int32Array;
  /** The class names in label order. */
  readonly classNames: readonly string[];
  /** The shape of every image: `[C, H, W]`. */
  readonly shape: ImageShape;
  /** N: the number of images. */
  readonly length: number;
  /** Mean and standard deviation of each channel, for pixels scaled to 0 … 1; undefined where none is set. */
  readonly normalization: Normalization | undefined;
  /** How images of another size were resized; undefined where they were not, or where it is not known. */
  readonly resize: ResizeRecord | undefined;

  private constructor(fields: Omit<Dataset, "length" | "image" | "subset" | "batches" | "split" | "withNormalization">) {
    this.name = fields.name;
    this.set = fields.set;
    this.part = fields.part;
    this.images = fields.images;
    this.labels = fields.labels;
    this.classNames = Object.freeze([...fields.classNames]);
    this.shape = Object.freeze([...fields.shape] as const);
    this.length = fields.labels.length;
    this.normalization = fields.normalization;
    this.resize = fields.resize && Object.freeze({ ...fields.resize });
    Object.freeze(this);
  }

  /**
   * A data set over arrays that the caller holds.
   *
   * @param arrays - images, labels, shape, and what else is known of them
   * @throws ERR_OPTION where a key is unknown or of the wrong type, or a class name appears twice; ERR_DTYPE where the images are no bytes; ERR_SHAPE
   *   where there is no image, where lengths do not agree, and where `shape` is not three positive integers; ERR_RANGE for a label that is no integer
   *   of a class; and for a normalization what {@link Dataset.withNormalization} throws
   */
  static fromArrays(arrays: DatasetArrays): Dataset {
    if (arrays === undefined) fail("ERR_OPTION", "arrays", "{ images, labels, shape }", arrays);
    const keys = ["images", "labels", "shape", "classNames", "name", "part", "normalization", "resize"] as const;
    const { images, labels, shape, classNames, normalization, resize, ...given } = optionsObject(arrays, "arrays", keys);
    const bytes = checkImages(images);
    const imageShape = checkShape(shape);
    const pixels = imageShape[0] * imageShape[1] * imageShape[2];
    if (bytes.length === 0 || bytes.length % pixels !== 0) {
      fail("ERR_SHAPE", "images", `a positive multiple of ${pixels} bytes for shape [${imageShape.join(", ")}]`, images);
    }
    const count = bytes.length / pixels;
    const names = classNames === undefined ? undefined : checkClassNames(classNames);
    const checked = checkLabels(labels, count, names?.length);
    const set = given.name === undefined ? "images" : string(given.name, "name");
    const part = given.part === undefined ? undefined : string(given.part, "part");
    return new Dataset({
      ...{ name: part === undefined ? set : `${set} ${part}`, set, part },
      images: bytes,
      labels: checked,
      classNames: names ?? Array.from({ length: checked.reduce((a, b) => Math.max(a, b)) + 1 }, (_, label) => String(label)),
      shape: imageShape,
      normalization: normalization === undefined ? undefined : checkNormalization(normalization, imageShape[0]),
      resize: resize === undefined ? undefined : checkResize(resize),
    });
  }

  /**
   * The C · H · W bytes of one image, as a view.
   *
   * @param index - 0 to N − 1
   * @throws ERR_OPTION where `index` is no integer; ERR_RANGE where it is outside 0 to N − 1; ERR_SHAPE where the arrays are gone
   */
  image(index: number): Uint8Array {
    const pixels = requireArrays(this);
    const start = integer(index, "index", 0, this.length - 1) * pixels;
    return this.images.subarray(start, start + pixels);
  }

  /**
   * Some of the images, with the same classes.
   *
   * @param selection - a count n: the first n images, as views of the same memory. Or indices in any order, which may repeat: copies of those images.
   * @throws ERR_SHAPE for an empty list, and where the arrays are gone; ERR_OPTION where `selection` is neither an integer nor a list of integers;
   *   ERR_RANGE for a count outside 1 to N or an index outside 0 to N − 1; ERR_OUT_OF_MEMORY where the memory for the copies is unavailable
   */
  subset(selection: number | ArrayLike<number>): Dataset {
    const pixels = requireArrays(this);
    if (typeof selection === "number") {
      const count = integer(selection, "selection", 1, this.length);
      return new Dataset({ ...this, images: this.images.subarray(0, count * pixels), labels: this.labels.subarray(0, count) });
    }
    const indices = listOf(selection);
    if (indices === undefined) fail("ERR_OPTION", "selection", "a count or an array of indices", selection);
    if (indices.length === 0) fail("ERR_SHAPE", "selection", "at least one index", selection);
    const images = allocateBytes(indices.length * pixels, "selection");
    const labels = new Int32Array(indices.length);
    for (let i = 0; i < indices.length; i++) {
      const index = integer(indices[i], `selection[${i}]`, 0, this.length - 1);
      images.set(this.images.subarray(index * pixels, (index + 1) * pixels), i * pixels);
      labels[i] = this.labels[index] as number;
    }
    return new Dataset({ ...this, images, labels });
  }

  /**
   * Splits the images at random into a training and a validation part. Both keep the order of the images.
   *
   * The same length, fraction and seed give the same split on every machine and in every version. The validation part is the first round(fraction ·
   * N) entries of a permutation of 0 … N − 1: Fisher-Yates from the end, each index drawn from xoshiro128** without bias.
   *
   * @param fraction - share of the images for validation, between 0 and 1; each part gets at least one image
   * @param seed - integer, 0 to 2^32 − 1
   * @throws ERR_OPTION where an argument is no number, or `seed` no integer; ERR_NON_FINITE where `fraction` is NaN or infinite; ERR_RANGE where an
   *   argument is outside its range, or a part would be empty; ERR_SHAPE where the arrays are gone
   */
  split(fraction: number, seed: number): DatasetSplit {
    requireArrays(this);
    const share = finite(fraction, "fraction", 0, 1);
    integer(seed, "seed", 0, 2 ** 32 - 1);
    const count = Math.round(share * this.length);
    if (count < 1 || count > this.length - 1) {
      const found = `${describe(fraction)}, which is ${count} of ${this.length}`;
      throw new LibtorchOodError("ERR_RANGE", `fraction: expected a share that leaves images on both sides, found ${found}`);
    }
    const order = randomPermutation(this.length, seed);
    const validationIndices = order.slice(0, count).sort();
    return {
      train: this.subset(order.slice(count).sort()),
      validation: this.subset(validationIndices),
      validationIndices,
      indexHash: hashIndices(this.length, validationIndices),
    };
  }

  /**
   * Gives the images batch by batch, as every {@link ImageSource} does. An image of another form than `input` becomes that form, as
   * {@link datasets.conform} makes it.
   *
   * @param options - see {@link ImageSource.batches}
   * @throws ERR_OPTION for an unknown option or a value of another type; ERR_RANGE for a number outside its range; ERR_SHAPE where the arrays are gone,
   *   and for another number of channels than 1 or 3
   */
  batches(options: BatchOptions): AsyncIterable<SourceBatch> {
    requireArrays(this);
    const checked = checkBatchOptions(options);
    const [planes, height, width] = this.shape;
    if (planes !== 1 && planes !== 3) fail("ERR_SHAPE", `${this.name}.shape`, "images of 1 or 3 channels", `${planes} channels`);
    const itemAt = (index: number): SourceItem => {
      const copy = (): Uint8Array<ArrayBuffer> => Uint8Array.from(this.image(index));
      const image: TakenImage = {
        ...{ name: `${this.name}[${index}]`, width, height, planes },
        // Copied when it is its turn: the data set's arrays are the caller's, who could transfer them meanwhile.
        get pixels() {
          return copy();
        },
      };
      return { image, label: this.labels[index] as number };
    };
    return decodedBatches(permuted(this.length, checked.order, itemAt), checked);
  }

  /**
   * The same images with another normalization, or with none.
   *
   * @param normalization - mean and standard deviation of each channel, or undefined for none
   * @throws ERR_OPTION where it is not `{ mean, std }`; ERR_SHAPE where there is not one number per channel, and where the arrays are gone;
   *   ERR_NON_FINITE for NaN or infinity; ERR_RANGE where a standard deviation is not positive, or makes pixels larger than a network can take
   */
  withNormalization(normalization: Normalization | undefined): Dataset {
    requireArrays(this);
    const checked = normalization === undefined ? undefined : checkNormalization(normalization, this.shape[0]);
    return new Dataset({ ...this, normalization: checked });
  }
}

/**
 * @internal Requires the arrays of a data set to be as long as when it was made: their buffers may have been transferred to a worker, or have shrunk.
 *
 * @returns bytes per image
 * @throws ERR_SHAPE where they are not
 */
export function requireArrays({ images, labels, length, shape }: Dataset): number {
  const pixels = shape[0] * shape[1] * shape[2];
  const changed = "as when the data set was made (has its buffer been transferred or resized?)";
  if (images.length !== length * pixels) fail("ERR_SHAPE", "images", `${length * pixels} bytes, ${changed}`, images);
  if (labels.length !== length) fail("ERR_SHAPE", "labels", `${length} labels, ${changed}`, labels);
  return pixels;
}

/** @internal @throws ERR_OPTION for anything but a Dataset, ERR_SHAPE for one whose arrays are gone */
export function requireDataset(value: unknown, name: string): Dataset {
  if (value instanceof Dataset) {
    requireArrays(value);
    return value;
  }
  throw new LibtorchOodError("ERR_OPTION", `${name}: expected a Dataset (Dataset.fromArrays makes one), found ${describe(value)}`);
}

function checkImages(images: unknown): Uint8Array {
  const kind = ArrayBuffer.isView(images) ? typedArrayName(images) : "";
  if (kind === "Uint8Array") return images as Uint8Array;
  if (kind !== "Uint8ClampedArray") fail("ERR_DTYPE", "images", "a Uint8Array with values 0 to 255", images);
  const { buffer, byteOffset, length } = images as Uint8ClampedArray;
  return new Uint8Array(buffer, byteOffset, length);
}

function checkShape(shape: unknown): ImageShape {
  const sizes = shortList(shape, 3);
  if (sizes?.length !== 3 || !sizes.every((size) => Number.isInteger(size) && (size as number) >= 1)) {
    fail("ERR_SHAPE", "shape", "[C, H, W], three positive integers", sizes === undefined ? shape : `[${sizes.map(describe).join(", ")}]`);
  }
  return sizes as unknown as ImageShape;
}

function checkResize(given: unknown): ResizeRecord {
  const { mode, kernel, resizeTo } = optionsObject(given as ResizeRecord, "resize", ["mode", "kernel", "resizeTo"]);
  return {
    ...{ mode: oneOf(mode, "resize.mode", imageResizes), kernel: string(kernel, "resize.kernel") },
    ...(resizeTo === undefined ? {} : { resizeTo: integer(resizeTo, "resize.resizeTo", 1) }),
  };
}

function checkLabels(labels: unknown, count: number, classes = maxUnstatedClasses): Int32Array {
  const list = listOf(labels);
  if (list === undefined) fail("ERR_OPTION", "labels", "an array of integers", labels);
  if (list.length !== count) fail("ERR_SHAPE", "labels", `${count} labels, one per image`, list);
  const checked =
    ArrayBuffer.isView(list) && typedArrayName(list) === "Int32Array" ? (list as unknown as Int32Array) : new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const given = list[i];
    const label: unknown = typeof given === "bigint" ? Number(given) : given;
    if (!Number.isInteger(label) || (label as number) < 0 || (label as number) >= classes) {
      fail("ERR_RANGE", `labels[${i}]`, `an integer from 0 to ${classes - 1}`, given);
    }
    checked[i] = label as number;
  }
  return checked;
}

function hashIndices(length: number, indices: Uint32Array): string {
  const bytes = new DataView(new ArrayBuffer(4 * (1 + indices.length)));
  bytes.setUint32(0, length, true);
  indices.forEach((index, i) => bytes.setUint32(4 * (1 + i), index, true));
  return createHash("sha256").update(bytes).digest("hex");
}
