// The options of an extraction, their checks, and the types of its results.

import { fail, oneOf, optionalSignal } from "../core/checks";
import { shortList } from "../core/lists";
import { modelOutputs, type ModelOutput } from "../core/model-outputs";
import type { Dataset } from "../data/dataset";
import type { ImageSource } from "../data/sources/source";
import type { ImageTarget } from "../images/decode";
import { imageResizes, type ImageGeometry, type ImageResize } from "../images/geometry";
import { checkTruncated, type ImageFailure, type OnError, type Truncated } from "../images/failure";
import { checkMaxPixels } from "../images/image";
import type { ComputePrecision, Precision } from "../native/precision";
import type { Tensor } from "../native/tensor";
import type { Images } from "./images";

/** The model outputs that extraction gives by default. */
export type DefaultOutputs = readonly ["features", "logits"];

/** Options of {@link ResNet.extractStream}, and of {@link ResNet.extract} as far as the two share them. */
export interface ExtractOptions<Outputs extends readonly ModelOutput[] = DefaultOutputs> {
  /**
   * Model outputs to compute, all in one pass. "features" are those that the last layer sees (divided by their norm where `l2Normalize` is on),
   * "rawFeatures" those that pooling gives, "logits" the outputs of the last layer. Default `["features", "logits"]`.
   */
  outputs?: Outputs;
  /** Number of images per forward pass, 1 to 2²⁰. Default 64. */
  batchSize?: number;
  /**
   * Precision of the convolutions; features and logits are float32 in either case. "auto" is bfloat16 on CUDA and where the processor has units for
   * it, else float32. A float64 network is always computed in float64. Default "float32".
   */
  precision?: Precision;
  /**
   * How files and RGBA pixels of another size than the model's become that size. A Dataset or tensor is not resized. Default: as the model's `input`
   * says, which is "center-crop" for a {@link ResNet} that says nothing else.
   */
  resize?: ImageResize;
  /** What happens with images that cannot be decoded: see {@link OnError}. Default "throw". */
  onError?: OnError;
  /**
   * Largest number of pixels that an image file may have. Memory and time grow with it. Default: 100 million, and 250 million for a baseline JPEG, as
   * cameras write them: it is decoded row by row, so that only time grows.
   */
  maxPixels?: number;
  /**
   * What becomes of an image file whose end is missing. "refuse": it cannot be decoded. "accept": what is there of it is taken; the rest is grey in a
   * JPEG and black in others. Default "refuse".
   */
  truncated?: Truncated;
  /** Signal that ends the call with ERR_ABORTED. */
  signal?: AbortSignal;
}

/** Options of {@link ResNet.extract}. */
export interface ExtractAllOptions<Outputs extends readonly ModelOutput[] = DefaultOutputs> extends ExtractOptions<Outputs> {
  /**
   * Function that is told how many of `total` images are done. The call ends when the promises that the function returned have settled, or with an
   * abort. An error that it throws ends the call.
   */
  onProgress?: (done: number, total: number) => void | Promise<void>;
}

/**
 * Result of {@link ResNet.extract}: a Tensor for each output that was asked for, and facts about the images. `features` and `rawFeatures` are [N, d],
 * `logits` are [N, C]. The dtype is float32, or float64 for a float64 network.
 *
 * A network that does not normalise has one matrix of features. If either name is asked for, the result has both names for the same Tensor.
 */
export type Extraction<Outputs extends readonly ModelOutput[] = DefaultOutputs> = ExtractedImages &
  Record<Stated<Outputs>, Tensor> &
  Partial<Record<Exclude<ModelOutput, Stated<Outputs>>, Tensor>>;

/** The names in a list that is written out; of a list that is known only at run time, none can be relied on. */
type Stated<Outputs extends readonly ModelOutput[]> = number extends Outputs["length"] ? never : Outputs[number];

/** The part of an {@link Extraction} that tells of its images. */
export interface ExtractedImages {
  /** Labels of the N rows, from the data set or the chunk; empty where none were given. */
  labels: Int32Array;
  /** Images that `onError` left out of the N rows. The rows keep the order of the other images. In a stream, `index` counts from its first image. */
  skipped: readonly ImageFailure[];
  /** Precision that the convolutions were computed in. */
  precision: ComputePrecision | "float64";
}

/** One chunk of {@link ResNet.extractStream}: an {@link Extraction} and the number of rows before it. */
export type ExtractionChunk<Outputs extends readonly ModelOutput[] = DefaultOutputs> = Extraction<Outputs> & {
  /** Number of rows in the chunks before this one. */
  offset: number;
};

/** One chunk that {@link ResNet.extractStream} reads: images, with or without labels. */
export type ImageChunk =
  | Images
  | {
      /** The images of the chunk. */
      images: Exclude<Images, Dataset>;
      /** One label per image of the chunk. */
      labels: Int32Array;
    };

/** What {@link ResNet.extractStream} reads: chunks of images, or a source. */
export type ImageChunks = AsyncIterable<ImageChunk> | Iterable<ImageChunk> | ImageSource;

export const extractKeys = ["outputs", "batchSize", "precision", "resize", "onError", "maxPixels", "truncated", "signal"] as const;

export type AnyExtractOptions = ExtractOptions<readonly ModelOutput[]>;
export type ExtractedOutputs = Partial<Record<ModelOutput, Tensor>>;

export const defaultOutputs: DefaultOutputs = ["features", "logits"];

/** The model outputs in a caller's list. @throws ERR_OPTION for anything but a list of outputs, each named once */
export function checkOutputs(value: unknown): ReadonlySet<ModelOutput> {
  const list = shortList(value, 16);
  if (list === undefined || list.length === 0) fail("ERR_OPTION", "outputs", `a list of ${modelOutputs.join(", ")}`, value);
  const outputs = new Set<ModelOutput>();
  for (const [i, name] of list.entries()) {
    const output = oneOf(name, `outputs[${i}]`, modelOutputs);
    if (outputs.has(output)) fail("ERR_OPTION", `outputs[${i}]`, "each output once", output);
    outputs.add(output);
  }
  return outputs;
}

/**
 * The form that decoded images take for a model, with the options that decide on it.
 *
 * @throws ERR_OPTION for an option of another type, ERR_RANGE for `maxPixels` outside its range
 */
export function imageTarget(
  { channels, size, resizeTo, kernel, antialias, resize: usual }: ImageGeometry,
  { resize, maxPixels, truncated, signal }: AnyExtractOptions,
): ImageTarget {
  return {
    ...{ channels, size, resizeTo, kernel, antialias },
    resize: oneOf(resize ?? usual, "resize", imageResizes),
    maxPixels: checkMaxPixels(maxPixels),
    truncated: checkTruncated(truncated),
    signal: optionalSignal(signal, "signal"),
  };
}
