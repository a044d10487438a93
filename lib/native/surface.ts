// The whole native surface, declared in one place; nothing else touches the addon. Each interface is a file pair of the
// same name in native/. Every asynchronous call takes a NativeJobControl (or undefined) first and returns a promise.

import type { NativeArray, NativeDtype } from "../core/dtype";
import type { ModelOutput } from "../core/model-outputs";
import { loadAddon } from "./libtorch/load";

export type { NativeArray, NativeDtype } from "../core/dtype";

/** native/binding/job.cc: of the call it was given to. */
export interface NativeJobControl {
  cancel(): void;
  /** Lets a call go on that holds (`holdAfterEpoch`). Without effect on any other, or after its end. */
  resume(): void;
}

/** The dtypes that a file has floating numbers in. */
export type StoredDtype = "float64" | "float32" | "float16" | "bfloat16";

/** native/binding/tensor.cc: an array in host memory, held by handle. */
export interface NativeTensor {
  readonly shape: number[];
  readonly dtype: NativeDtype;
  readonly disposed: boolean;
  toTypedArray(): NativeArray;
  /** Rounded to nearest, ties to even; of float16 and bfloat16 the bit patterns. ERR_RANGE for a number that becomes infinite. */
  toTypedArray(stored: StoredDtype): NativeArray | Uint16Array;
  write(offset: number, data: NativeArray): void;
  slice(start: number, end: number): NativeTensor;
  dispose(): void;
}

export interface NativeNamedTensor {
  name: string;
  tensor: NativeTensor;
}

/** native/models/network.h: Architecture. */
export interface NativeArchitecture {
  depth: 18 | 34 | 50 | 101 | 152;
  stem: "cifar" | "imagenet";
  numClasses: number;
  inChannels: number;
  imageSize: number;
  width: number;
  featureDim: number;
  leakyRelu: boolean;
  avgPoolShortcut: boolean;
  /** 0: none. */
  spectralNormCoefficient: number;
  powerIterations: number;
  warmupIterations: number;
  l2Normalize: boolean;
  temperature: number;
}

export interface NativeNormalization {
  mean: readonly number[];
  std: readonly number[];
}

export interface NativeFitOptions {
  loss: "cross-entropy" | "neural-collapse";
  epochs: number;
  batchSize: number;
  learningRate: number;
  /** Of the last layer. */
  headLearningRate: number;
  momentum: number;
  weightDecay: number;
  nesterov: boolean;
  schedule: "milestones" | "cosine";
  milestones: number[];
  gamma: number;
  /** Pixels of zero padding for the random crop; 0: no crop. */
  cropPadding: number;
  horizontalFlip: boolean;
  shuffle: boolean;
  precision: "float32" | "bfloat16";
  seed: number;
  normalization: NativeNormalization;
  /** Send a snapshot of the training state after every so many epochs and after the last; 0: never. */
  snapshotEvery: number;
  /** The same within an epoch, after every so many batches; 0: never. */
  snapshotEveryBatches: number;
  /** Epochs done already, with the momentum they left (names of parameters); 0 and empty for a fresh start. */
  startEpoch: number;
  /** What is done of the epoch that is resumed. */
  start: NativeEpochSums;
  momentumBuffers: NativeNamedTensor[];
  /** After the event of every epoch but the last wait for the control's `resume()`; other calls compute meanwhile. */
  holdAfterEpoch: boolean;
  /** Names of parameters or modules that stay as they are. */
  frozen: readonly string[];
}

export interface NativeBatchEvent {
  type: "batch";
  epoch: number;
  batch: number;
  /** Undefined where it is not known. */
  batches: number | undefined;
  /** Mean loss per sample of the epoch so far. */
  loss: number;
  imagesPerSecond: number;
}

/** "taken": of a queue; "wanted": the run waits for an entry of the queue, and for the control's `resume()` then. */
export type NativeFitEvent = NativeBatchEvent | NativeEpochEvent | NativeSnapshotEvent | { type: "taken" | "wanted" };

/** What an epoch's report is made of, as far as the epoch has come. */
export interface NativeEpochSums {
  batch: number;
  seen: number;
  correct: number;
  loss: number;
}

export interface NativeSnapshotEvent {
  type: "snapshot";
  /** Epochs done before this one. */
  epoch: number;
  sums: NativeEpochSums;
  state: NativeNamedTensor[];
  momentumBuffers: NativeNamedTensor[];
}

export interface NativeEpochEvent {
  type: "epoch";
  epoch: number;
  loss: number;
  accuracy: number;
  validationAccuracy: number | undefined;
  learningRate: number;
  imagesPerSecond: number;
  seconds: number;
  state: NativeNamedTensor[] | undefined;
  momentumBuffers: NativeNamedTensor[] | undefined;
}

/** native/binding/extractor.cc: a snapshot of a network with batch norm and spectral norm folded into the convolutions. */
export interface NativeExtractor {
  /** One pass over the images; gives those of the outputs that are asked for. */
  extract(
    control: NativeJobControl | undefined,
    images: NativeTensor,
    options: { batchSize: number; normalization: NativeNormalization; outputs: Readonly<Record<ModelOutput, boolean>> },
    onProgress: ((done: number) => void) | undefined,
  ): Promise<Partial<Record<ModelOutput, NativeTensor>>>;
  dispose(): void;
}

/** A parameter or buffer of a network. */
export interface NativeTensorDescription {
  name: string;
  shape: number[];
  dtype: NativeDtype;
}

/** native/binding/resnet.cc */
export interface NativeResNet {
  readonly training: boolean;
  state(control: NativeJobControl | undefined): Promise<NativeNamedTensor[]>;
  loadState(control: NativeJobControl | undefined, state: NativeNamedTensor[]): Promise<void>;
  forward(
    control: NativeJobControl | undefined,
    images: NativeTensor,
    options: { training: boolean },
  ): Promise<{ features: NativeTensor; rawFeatures: NativeTensor; logits: NativeTensor }>;
  fit(
    control: NativeJobControl | undefined,
    options: NativeFitOptions,
    training: NativeTrainingData,
    validation: NativeTrainingData | undefined,
    onEvent: (event: NativeFitEvent) => void,
  ): Promise<void>;
  extractor(control: NativeJobControl | undefined, options: { precision: "float32" | "bfloat16" | "float64" }): Promise<NativeExtractor>;
  /** Another handle of the same network, which outlives the disposal of this one. */
  retain(): NativeResNet;
  /** A network of its own with the same weights. */
  copy(control: NativeJobControl | undefined): Promise<NativeResNet>;
  dispose(): void;
}

/** native/binding/torchscript.cc: the model of a TorchScript file. */
export interface NativeTorchScript {
  readonly featureDim: number;
  /** 0: no logits. */
  readonly numClasses: number;
  /** "weight" [C, d] and "bias" [C], float64; empty where no linear layer makes logits of the features. */
  head(): NativeNamedTensor[];
  /** Another handle of the same model, which outlives the disposal of this one. */
  retain(): NativeTorchScript;
  /** The same with its share of the memory: for a handle that is kept. */
  copy(): NativeTorchScript;
  extractor(control: NativeJobControl | undefined, options: { precision: "float32" | "bfloat16" | "float64" }): Promise<NativeExtractor>;
  dispose(): void;
}

export interface NativeTorchScriptOptions {
  /** What messages call the file. */
  path: string;
  features: string | undefined;
  channels: number;
  size: number;
  device: string;
}

/** native/binding/class_statistics.cc: counts, means and scatters per class, float64, on one device. */
export interface NativeClassStatistics {
  update(control: NativeJobControl | undefined, features: NativeTensor, labels: NativeTensor): Promise<void>;
  merge(control: NativeJobControl | undefined, other: NativeClassStatistics): Promise<void>;
  /** int64 [C] */
  counts(control: NativeJobControl | undefined): Promise<NativeTensor>;
  /** float64 [C, d] */
  means(control: NativeJobControl | undefined): Promise<NativeTensor>;
  /** float64 [d, d] */
  covariance(control: NativeJobControl | undefined, of: number | "pooled" | "global", ddof: number): Promise<NativeTensor>;
  state(control: NativeJobControl | undefined): Promise<NativeNamedTensor[]>;
  loadState(control: NativeJobControl | undefined, scatter: NativeScatter, state: NativeNamedTensor[]): Promise<void>;
  dispose(): void;
}

export type NativeScatter = "full" | "pooled" | "diagonal";

export interface NativeDensityOptions {
  covariance: "full" | "tied" | "diagonal" | "ledoit-wolf" | "oas" | "low-rank";
  prior: "empirical" | "uniform" | "none";
  jitter: "per-class" | "shared" | "ddu" | number;
  /** Of "low-rank"; 0 for the others. */
  rank: number;
}

/** native/binding/gaussian_mixture.cc: Gaussian class densities, empty until fit or loadState. */
export interface NativeGaussianMixture {
  /** Resolves to "count" (int64), "jitter" and "shrinkage" (float64), [C] each. */
  fit(
    control: NativeJobControl | undefined,
    statistics: NativeClassStatistics,
    options: NativeDensityOptions,
  ): Promise<NativeNamedTensor[]>;
  /** As `fit`, from the features themselves. */
  fitFeatures(
    control: NativeJobControl | undefined,
    features: NativeTensor,
    labels: NativeTensor,
    numClasses: number,
    options: NativeDensityOptions,
  ): Promise<NativeNamedTensor[]>;
  /** float64 [N] or [N, C]; int32 [N] for "predict". The least squared distance is min_c (z − u_c)ᵀ Σ_c⁻¹ (z − u_c). */
  evaluate(
    control: NativeJobControl | undefined,
    features: NativeTensor,
    quantity: "logDensity" | "classLogDensities" | "responsibilities" | "predict" | "leastSquaredDistance",
  ): Promise<NativeTensor>;
  /** "mean" [d] and "covariance" [d, d] of a class, jitter included. */
  parameters(control: NativeJobControl | undefined, label: number): Promise<NativeNamedTensor[]>;
  state(control: NativeJobControl | undefined): Promise<NativeNamedTensor[]>;
  loadState(
    control: NativeJobControl | undefined,
    numClasses: number,
    featureDim: number,
    options: NativeDensityOptions,
    state: readonly NativeNamedTensor[],
  ): Promise<void>;
  dispose(): void;
}

/** native/scores/nearest_neighbours.cc: points that are searched exactly, none until fit. */
export interface NativeNearestNeighbours {
  fit(control: NativeJobControl | undefined, features: NativeTensor, options: { k: number; normalize: boolean }): Promise<void>;
  /** To the k-th nearest, float64 [N]. */
  distances(control: NativeJobControl | undefined, features: NativeTensor): Promise<NativeTensor>;
  /** "points" as they were given. */
  state(control: NativeJobControl | undefined): Promise<NativeNamedTensor[]>;
  dispose(): void;
}

/** native/binding/virtual_logit.cc: the score of ViM, empty until fit or loadState. */
export interface NativeVirtualLogit {
  /** Resolves to alpha. */
  fit(
    control: NativeJobControl | undefined,
    features: NativeTensor,
    logits: NativeTensor,
    weight: NativeTensor,
    bias: NativeTensor | undefined,
    dimension: number,
  ): Promise<number>;
  /** float64 [N] */
  evaluate(control: NativeJobControl | undefined, features: NativeTensor, logits: NativeTensor): Promise<NativeTensor>;
  state(control: NativeJobControl | undefined): Promise<NativeNamedTensor[]>;
  loadState(
    control: NativeJobControl | undefined,
    featureDim: number,
    dimension: number,
    state: readonly NativeNamedTensor[],
  ): Promise<void>;
  dispose(): void;
}

/** native/statistics/neural_collapse.h: CollapseNumbers. */
export interface NativeCollapseNumbers {
  nc1: number;
  rank: number;
  enMeans: number;
  enMeansDdof0: number;
  eaMeans: number;
  etfDistanceMeans: number;
  /** What needs the classifier is undefined without one. */
  enClassifier: number | undefined;
  enClassifierDdof0: number | undefined;
  eaClassifier: number | undefined;
  nc3: number | undefined;
  nc3UnitColumns: number | undefined;
  etfDistanceClassifier: number | undefined;
  nc4: number | undefined;
  nc4Labels: number | undefined;
  classes: number[];
}

/** native/scores/row_scores.h: RowQuantity; "entropy" is the negative one, "margin" what the largest has over the second. */
export type NativeRowQuantity = "max-softmax" | "max-logit" | "entropy" | "energy" | "margin" | "length" | "predicted-class";

/** native/binding/linalg.cc: on whole matrices or batches of them, float32 or float64. */
export interface NativeLinalg {
  /** float64: [..., d, d], [d, d] pooled, [C, d, d] of classes. */
  covariance(
    control: NativeJobControl | undefined,
    x: NativeTensor,
    options: {
      weights: NativeTensor | undefined;
      labels: NativeTensor | undefined;
      numClasses: number | undefined;
      of: "global" | "pooled" | "classes";
      ddof: number;
    },
    device: string,
  ): Promise<NativeTensor>;
  pinv(
    control: NativeJobControl | undefined,
    matrix: NativeTensor,
    options: { rcond: number | undefined; rank: number | undefined; hermitian: boolean },
    device: string,
  ): Promise<NativeTensor>;
  /** "factor" as the matrix, "jitter" float64 [batch]. */
  cholesky(
    control: NativeJobControl | undefined,
    matrix: NativeTensor,
    jitter: "relative" | "ddu" | number,
    device: string,
  ): Promise<NativeNamedTensor[]>;
  /** "sign" and "logarithm", float64 [batch]. */
  logdet(control: NativeJobControl | undefined, matrix: NativeTensor, device: string): Promise<NativeNamedTensor[]>;
  /** "values" ascending and "vectors" in columns. */
  eigh(control: NativeJobControl | undefined, matrix: NativeTensor, device: string): Promise<NativeNamedTensor[]>;
  svdvals(control: NativeJobControl | undefined, matrix: NativeTensor, device: string): Promise<NativeTensor>;
}

/** native/data/preprocessing.h: ImageGeometry. */
export interface NativeImageGeometry {
  channels: number;
  size: number;
  resize: "center-crop" | "squash" | "none";
  resizeTo: number;
  kernel: "bilinear" | "bicubic";
  antialias: boolean;
}

/** native/images/decoding.h: EncodedSource. Bytes that nobody else may write to, transfer or resize while the call runs. */
export type NativeEncodedSource = ({ readonly path: string | Uint8Array } | { readonly encoded: Uint8Array }) & {
  readonly variation?: NativeVariation;
};

/** native/images/decoder.h: ImageHeader. Size as stored; EXIF orientation, 1 to 8. */
export interface NativeImageHeader {
  width: number;
  height: number;
  orientation: number;
  /** Whether the image is a JPEG of C, M, Y, K. */
  inks: boolean;
  /** Whether the image is a JPEG that can be decoded row by row, so that it is never in memory as a whole. */
  inRows: boolean;
}

/** native/images/decoding.h: DecodeReport, of a source whose row has not been written. */
export interface NativeDecodeReport {
  index: number;
  /** Declined: another format, a feature that the decoder does not know, too large, or a file that cannot be read. */
  status: "declined" | "damaged" | "truncated";
  /** How it is damaged. */
  words: string;
  header?: NativeImageHeader;
}

/** native/data/preprocessing.h: DecodedImage. */
export interface NativeDecodedImage {
  /** Bytes of the pixels, which nobody else may write to, transfer or resize while the call runs. */
  pixels: Uint8Array;
  /** Size as stored, before the orientation. */
  width: number;
  height: number;
  /** Interleaved: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; planes: 1 or 3; inks: 4, which are C, M, Y, K, interleaved. */
  channels: number;
  layout: "interleaved" | "planes" | "inks";
  /** EXIF orientation, 1 to 8. */
  orientation: number;
  /** Size, as stored, of the image that the pixels were reduced from; without that their own. */
  originalWidth: number;
  originalHeight: number;
  variation?: NativeVariation;
}

/** How an image is varied for training. */
export interface NativeVariation {
  /** Left, top, width and height of the part of the upright original that is squashed to the size; without it as the geometry says. */
  window?: [number, number, number, number];
  /** Pixels that the image moves left and up, with black behind it. */
  shiftX: number;
  shiftY: number;
  /** Left to right, after the shift. */
  flip: boolean;
  /** In this order. */
  colours: NativeColorStep[];
}

/** Factor of the values, of the distance to grey, or turns of the hue: native/data/colour_jitter.h. */
export interface NativeColorStep {
  change: "brightness" | "contrast" | "saturation" | "hue";
  factor: number;
}

/** native/binding/batch_queue.cc: batches that a training run takes, in the order in which they were pushed. */
export interface NativeBatchQueue {
  readonly length: number;
  /** uint8 [B, C, H, W] and int32 [B], whose memory it shares; the tensors may be disposed of afterwards. */
  push(images: NativeTensor, labels: NativeTensor): void;
  /** The epoch, or its validation, is over. */
  pushEnd(): void;
  /** Frees what nobody will take any more. */
  dispose(): void;
}

/** What a training run learns from, or is validated on: a set in memory, or a queue with the number of batches of an epoch (0: not known). */
export type NativeTrainingData = { images: NativeTensor; labels: NativeTensor } | { queue: NativeBatchQueue; batches: number };

export interface NativeInfo {
  libtorch: string;
  builtFor: string;
  cpuCapability: string;
  /** Whether the CPU multiplies bfloat16 natively; elsewhere `precision: "bfloat16"` is slower than float32. */
  bfloat16: boolean;
  threads: number;
  cudaDevices: number;
}

export interface Native {
  JobControl: new () => NativeJobControl;
  /** `stored` is the dtype of the data where that is another; a Uint16Array holds the bit patterns of float16 and bfloat16. */
  Tensor: new (data: NativeArray | Uint16Array | null, shape: readonly number[], dtype: NativeDtype, stored?: StoredDtype) => NativeTensor;
  ResNet: {
    /** Every parameter and buffer of a float32 network, parameters first; none is allocated. */
    describe(architecture: NativeArchitecture): NativeTensorDescription[];
    /** Creates the network on the compute thread of `device`, its weights drawn from `seed`. */
    create(
      control: NativeJobControl | undefined,
      architecture: NativeArchitecture,
      options: { device: string; dtype: "float32" | "float64"; seed: number },
    ): Promise<NativeResNet>;
  };
  TorchScript: {
    /** Loads, freezes and tries the model in the bytes of a file (uint8 [n]), on the compute thread of `device`. */
    load(control: NativeJobControl | undefined, bytes: NativeTensor, options: NativeTorchScriptOptions): Promise<NativeTorchScript>;
  };
  info(): NativeInfo;
  /** Bytes that V8 has been told of in all, ArrayBuffers included; for tests. */
  externalMemory(): number;
  /** The training loop's crop and flip, for given draws; for tests. */
  augment(
    control: NativeJobControl | undefined,
    images: NativeTensor,
    padding: number,
    offsetY: NativeTensor,
    offsetX: NativeTensor,
    flip: NativeTensor,
  ): Promise<NativeTensor>;
  setThreads(control: NativeJobControl | undefined, threads: number): Promise<void>;

  BatchQueue: new () => NativeBatchQueue;
  ClassStatistics: new (numClasses: number, featureDim: number, scatter: NativeScatter, device: string) => NativeClassStatistics;
  GaussianMixture: new (device: string) => NativeGaussianMixture;
  NearestNeighbours: new (device: string) => NativeNearestNeighbours;
  VirtualLogit: new (device: string) => NativeVirtualLogit;
  /** native/binding/neural_collapse.cc */
  measureCollapse(
    control: NativeJobControl | undefined,
    features: NativeTensor,
    labels: NativeTensor,
    predictions: NativeTensor | undefined,
    weight: NativeTensor | undefined,
    bias: NativeTensor | undefined,
    rcond: number | undefined,
    device: string,
    classes: number,
  ): Promise<NativeCollapseNumbers>;
  measureCollapseOfStatistics(
    control: NativeJobControl | undefined,
    statistics: NativeClassStatistics,
    weight: NativeTensor | undefined,
    rcond: number | undefined,
  ): Promise<NativeCollapseNumbers>;
  /** native/binding/collapse_loss.cc: the six terms [6], and the gradients of their sum as features [B, d] and weight [C, d]; float64. */
  collapseLoss(
    control: NativeJobControl | undefined,
    features: NativeTensor,
    labels: NativeTensor,
    weight: NativeTensor,
    device: string,
  ): Promise<{ terms: NativeTensor; features: NativeTensor; weight: NativeTensor }>;
  /** native/binding/row_scores.cc: float64 [N]; `name` is that of the matrix in errors. */
  rowScores(
    control: NativeJobControl | undefined,
    matrix: NativeTensor,
    options: { quantity: NativeRowQuantity; temperature: number; name: string },
  ): Promise<NativeTensor>;
  /** native/binding/singular_values.cc: "values" [k], "basis" [d, k], "centre" [d], "outside" and "rank" [1], float64. */
  singularValues(
    control: NativeJobControl | undefined,
    features: NativeTensor,
    options: { k: number | undefined; centred: boolean },
    device: string,
  ): Promise<NativeNamedTensor[]>;
  /** "values" and "lengths" [k], "outside" [1], float64. */
  projectedSingularValues(
    control: NativeJobControl | undefined,
    features: NativeTensor,
    basis: NativeTensor,
    centre: NativeTensor | undefined,
    device: string,
  ): Promise<NativeNamedTensor[]>;
  linalg: NativeLinalg;
  /**
   * native/binding/preprocessing.cc: each JPEG, PNG or GIF file becomes the planes that a model reads, in row `rows[i]` of `destination`, as
   * {@link preprocessImages} makes them of decoded pixels. The result lists the others.
   */
  decodeImages(
    control: NativeJobControl | undefined,
    sources: readonly NativeEncodedSource[],
    geometry: NativeImageGeometry,
    limits: {
      /** Images of more pixels are declined. */
      pixels: number;
      /** Files of more bytes are declined. */
      fileBytes: number;
      acceptTruncated: boolean;
    },
    destination: NativeTensor | Uint8Array,
    rows: readonly number[],
  ): Promise<NativeDecodeReport[]>;
  /**
   * native/binding/preprocessing.cc: each image becomes the planes that a model reads, channels · size · size bytes, in row `rows[i]` of `destination`,
   * which nobody else may touch, transfer or resize while the call runs.
   */
  preprocessImages(
    control: NativeJobControl | undefined,
    images: readonly NativeDecodedImage[],
    geometry: NativeImageGeometry,
    destination: NativeTensor | Uint8Array,
    rows: readonly number[],
  ): Promise<void>;
  /**
   * native/binding/preprocessing.cc: the images from `start` to before `end` as a model reads them, float32 [n, C, H, W]: (x / 255 − mean) / std of uint8,
   * (x − mean) / std of floating images. ERR_NON_FINITE names the first of these images that holds NaN or infinity, counted from `start`.
   */
  normalizeImages(
    control: NativeJobControl | undefined,
    images: NativeTensor,
    options: { start: number; end: number } & NativeNormalization,
  ): Promise<NativeTensor>;
}

let loaded: Native | undefined;

/** The addon, loaded on first use: importing the library needs no libtorch. Throws ERR_LIBTORCH_NOT_FOUND or ERR_LIBTORCH_VERSION. */
export function native(): Native {
  loaded ??= loadAddon() as Native;
  return loaded;
}
