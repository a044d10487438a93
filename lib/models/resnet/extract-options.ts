// What an extraction is asked for and what it gives: options, their checks, and the types of the results.

import { fail, oneOf, optionalSignal } from "../../core/checks";
import { shortList } from "../../core/lists";
import { modelOutputs, type ModelOutput } from "../../core/model-outputs";
import type { Dataset } from "../../data/dataset";
import { imageResizes, type ImageResize, type ImageTarget } from "../../images/decode";
import type { ImageFailure, OnError } from "../../images/failure";
import { checkMaxPixels } from "../../images/image";
import type { ComputePrecision, Precision } from "../../native/precision";
import type { Tensor } from "../../native/tensor";
import type { Architecture } from "./architecture";
import type { Images } from "./images";

/** What extraction gives unless told otherwise. */
export type DefaultOutputs = readonly ["features", "logits"];

export interface ExtractOptions<Outputs extends readonly ModelOutput[] = DefaultOutputs> {
  /**
   * What to compute, all in one pass: "features" as the last layer sees them (divided by their norm where `l2Normalize` is on), "rawFeatures" as
   * pooled, "logits". Default `["features", "logits"]`.
   */
  outputs?: Outputs;
  /** Images per forward pass. Default 64. */
  batchSize?: number;
  /**
   * Of the convolutions; features and logits are float32 all the same. "auto" is bfloat16 where the processor has units for it or on CUDA, else
   * float32. Default "float32" (a float64 network is always read in float64).
   */
  precision?: Precision;
  /** Of files and RGBA pixels that have not the network's size, antialiased (a Dataset or tensor must have it). Default "center-crop". */
  resize?: ImageResize;
  /** What becomes of images that cannot be decoded: see {@link OnError}. Default: "throw". */
  onError?: OnError;
  /**
   * Pixels that an image file may have. Memory and time grow with them. Default: 100 million, and 250 million for a baseline JPEG, as cameras write
   * them: it is decoded row by row, so that only time grows.
   */
  maxPixels?: number;
  signal?: AbortSignal;
}

export interface ExtractAllOptions<Outputs extends readonly ModelOutput[] = DefaultOutputs> extends ExtractOptions<Outputs> {
  /** Images done, of all. The call ends when the promises that it returns have settled, or by an abort; it may end the call by throwing. */
  onProgress?: (done: number, total: number) => void | Promise<void>;
}

/**
 * What {@link ResNet.extract} gives: a Tensor for each output that was asked for, float32 (float64 for a float64 network), and what is known of the
 * images. `features` and `rawFeatures` are [N, d], `logits` [N, C].
 *
 * A network that does not normalise has one matrix of features: where either name is asked for, both are there, as the same Tensor.
 */
export type Extraction<Outputs extends readonly ModelOutput[] = DefaultOutputs> = ExtractedImages &
  Record<Stated<Outputs>, Tensor> &
  Partial<Record<Exclude<ModelOutput, Stated<Outputs>>, Tensor>>;

/** The names in a list that is written out; of a list that is known only at run time, none can be relied on. */
type Stated<Outputs extends readonly ModelOutput[]> = number extends Outputs["length"] ? never : Outputs[number];

/** What an {@link Extraction} says of its images. */
export interface ExtractedImages {
  /** [N]: the data set's labels; empty where none were given. */
  labels: Int32Array;
  /** Images that are not among the N rows, with `onError`; the rows keep the order of the others. In a stream `index` counts from its first image. */
  skipped: readonly ImageFailure[];
  /** What the convolutions were computed in. */
  precision: ComputePrecision | "float64";
}

/** One chunk of {@link ResNet.extractStream}: an {@link Extraction} and the number of rows before it. */
export type ExtractionChunk<Outputs extends readonly ModelOutput[] = DefaultOutputs> = Extraction<Outputs> & { offset: number };

/** What {@link ResNet.extractStream} reads: images, with labels where there are any. */
export type ImageChunk = Images | { images: Exclude<Images, Dataset>; labels: Int32Array };

export const extractKeys = ["outputs", "batchSize", "precision", "resize", "onError", "maxPixels", "signal"] as const;

export type AnyExtractOptions = ExtractOptions<readonly ModelOutput[]>;
export type ExtractedOutputs = Partial<Record<ModelOutput, Tensor>>;

export const defaultOutputs: DefaultOutputs = ["features", "logits"];

/** @throws ERR_OPTION for anything but a list of outputs, each named once */
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

/** What images that have to be decoded become for a network. @throws ERR_OPTION, ERR_RANGE */
export function imageTarget({ inChannels, imageSize }: Architecture, { resize, maxPixels, signal }: AnyExtractOptions): ImageTarget {
  return {
    channels: inChannels,
    size: imageSize,
    resize: oneOf(resize ?? "center-crop", "resize", imageResizes),
    maxPixels: checkMaxPixels(maxPixels),
    signal: optionalSignal(signal, "signal"),
  };
}
