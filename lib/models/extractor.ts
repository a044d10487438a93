// FeatureExtractor: whatever turns pictures into features and logits. Detectors, scores, command line and experiments know this interface alone.

import type { ModelOutput } from "../core/model-outputs";
import type { Preprocessing } from "../data/preprocessing";
import type { SeenInputs } from "../data/seen-inputs";
import type { ImageFailure } from "../images/failure";
import type { NativeNamedTensor } from "../native/surface";
import type { Tensor } from "../native/tensor";
import type { DefaultOutputs, ExtractAllOptions, Extraction, ExtractionChunk, ExtractOptions, ImageChunks } from "./extract-options";
import type { Images } from "./images";

/** A linear layer that gives logits: logits = features · weightᵀ + bias. */
export interface LinearHead {
  /** Weight matrix, float64 [C, d]. */
  weight: Tensor;
  /** Bias vector, float64 [C]. */
  bias: Tensor;
}

/** The kinds of extractors. */
export const extractorKinds = ["resnet", "torchscript", "onnx", "custom"] as const;

/** Kind of an extractor: a {@link ResNet}, a {@link TorchScriptModel}, an {@link OnnxModel}, or what {@link defineExtractor} made. */
export type ExtractorKind = (typeof extractorKinds)[number];

/** What an extractor says of itself. */
export interface ExtractorDescription {
  /** Kind of the extractor. */
  readonly kind: ExtractorKind;
  /** Length d of a feature vector. */
  readonly featureDim: number;
  /** Number of classes C, which is the number of logits; undefined for a model that gives features alone. */
  readonly numClasses: number | undefined;
  /** What becomes of a picture before the model sees it; undefined for a network that has no normalisation constants yet. */
  readonly input: Preprocessing | undefined;
  /** Name of each class, in label order; undefined where they are unknown. */
  readonly classNames: readonly string[] | undefined;
  /** Path of the model's file as it was given; undefined for a network whose weights lie inside the files that need it, and for functions. */
  readonly path?: string;
  /** SHA-256 of that file, in hexadecimal. */
  readonly sha256?: string;
  /** The value or submodule that gives the features, where the caller named one. */
  readonly features?: string;
  /** The value that gives the logits, where the caller named one. */
  readonly logits?: string;
  /** The name that {@link defineExtractor} was given. */
  readonly name?: string;
}

/**
 * Whatever turns pictures into features and logits: our networks, files of other tools, functions of the user. {@link Detector.fit}, scores and the
 * command line take any of them.
 */
export interface FeatureExtractor {
  /** Kind of the extractor. */
  readonly kind: ExtractorKind;
  /** Length d of a feature vector. */
  readonly featureDim: number;
  /** Number of classes C, which is the number of logits; undefined for a model that gives features alone. */
  readonly numClasses: number | undefined;
  /** Name of each class, in label order; undefined where they are unknown. */
  readonly classNames: readonly string[] | undefined;
  /** Device that computes: "cpu", "cuda" or "cuda:N". */
  readonly device: string;
  /** What becomes of a picture before the model sees it; undefined for a network that has no normalisation constants yet. */
  readonly input: Preprocessing | undefined;
  /** The last layer, which makes the logits of the features; undefined where the model has none or it is unknown. */
  head(): Promise<LinearHead | undefined>;
  /** Computes outputs of images in one pass: see {@link ResNet.extract}. */
  extract<const Outputs extends readonly ModelOutput[] = DefaultOutputs>(
    images: Images,
    options?: ExtractAllOptions<Outputs>,
  ): Promise<Extraction<Outputs>>;
  /** Computes outputs of more images than fit in memory: see {@link ResNet.extractStream}. */
  extractStream<const Outputs extends readonly ModelOutput[] = DefaultOutputs>(
    source: ImageChunks,
    sink: (chunk: ExtractionChunk<Outputs>) => unknown,
    options?: ExtractOptions<Outputs>,
  ): Promise<{
    /** Number of rows in all chunks. */
    count: number;
    /** Images that `onError` left out; `index` counts from the first image of the stream. */
    skipped: ImageFailure[];
  }>;
  /** What the extractor says of itself, as files and `libtorch-ood inspect` tell it. */
  describe(): ExtractorDescription;
  /** Frees what the extractor holds. Calls in flight end as they would; later calls throw ERR_DISPOSED; a second `dispose` does nothing. */
  dispose(): void;
  /** Whether {@link dispose} has been called. */
  readonly disposed: boolean;
}

/** Key of an extractor's {@link ExtractorInternals}; of the registry, so that extractors of the package's two module systems know each other. */
export const internals = Symbol.for("libtorch-ood.extractor");

/** What a detector needs of an extractor, beyond the interface. */
export interface ExtractorInternals {
  /** The extractor as it is at the call, with a life of its own: what the caller does to the first one has no effect. */
  copy(): Promise<OwnExtractor>;
  /** Hashes of the images that it was trained on, as far as they are known. */
  readonly trainedOn: SeenInputs;
  /** Dtype of features and logits. */
  readonly dtype: "float32" | "float64";
  /** The weights that a detector's file holds; empty where the file names the model instead. */
  state(): Promise<NativeNamedTensor[]>;
  /** What a detector's file says of it, besides its kind; JSON. */
  stored(): object;
}

/** An extractor of this library. */
export interface OwnExtractor extends FeatureExtractor {
  readonly [internals]: ExtractorInternals;
}

/** Whether a value is an extractor that {@link Detector.fit} takes. */
export function isExtractor(value: unknown): value is OwnExtractor {
  return typeof value === "object" && value !== null && internals in value;
}
