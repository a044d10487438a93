/**
 * The package `libtorch-ood`: networks, detectors, scores, statistics, metrics, data sets and files.
 *
 * @module libtorch-ood
 */

export { ResNet } from "./models/resnet/resnet";
export type {
  Architecture,
  ArchitectureOptions,
  BatchReport,
  EpochReport,
  ExtractAllOptions,
  Extraction,
  ExtractionChunk,
  ExtractOptions,
  FitOptions,
  HeadOptions,
  Image,
  ImageChunk,
  ImageChunks,
  ImageDataLike,
  ImageFailure,
  ImageResize,
  Images,
  ModelFileSummary,
  OnError,
  ResNetDepth,
  ResNetLoadOptions,
  ResNetOptions,
  ResNetSaveOptions,
  ResNetStem,
  SpectralNormOptions,
  TrainingOptions,
  Truncated,
} from "./models/resnet/resnet";
export { TorchScriptModel } from "./models/torchscript";
export type { TorchScriptOptions } from "./models/torchscript";
export { defineExtractor } from "./models/custom";
export type { CustomExtractor, EmbeddedBatch, ExtractorOptions } from "./models/custom";
export { OnnxModel } from "./models/onnx/onnx-model";
export type { ExecutionProvider, OnnxOptions } from "./models/onnx/onnx-model";
export type { BatchRows, RowArray } from "./models/batch-rows";
export type { ImageBatch } from "./models/image-batch";
export { loadModel, type LoadModelOptions } from "./models/load-model";
export type { ExtractorDescription, ExtractorKind, FeatureExtractor, LinearHead } from "./models/extractor";
export type { Preprocessing, PreprocessingName, PreprocessingOptions } from "./data/preprocessing";
export type { ImageGeometry, ResizeKernel, ResizeRecord } from "./images/geometry";
export { Tensor } from "./native/tensor";
export type { ArrayWithShape, Dtype, TensorArray } from "./native/tensor";
export { isLibtorchOodError, LibtorchOodError } from "./core/errors";
export type { ErrorCode } from "./core/errors";
export type { Overlap } from "./core/overlap";
export { Dataset } from "./data/dataset";
export { ClassStatistics } from "./statistics/class-statistics";
export type { ClassStatisticsOptions, Scatter } from "./statistics/class-statistics";
export { Detector } from "./detector/detector";
export type {
  CalibrationReport,
  DetectorFeatures,
  DetectorFitOptions,
  DetectorLoadOptions,
  FlaggedClass,
  FlaggedShare,
  NamedInputs,
} from "./detector/detector";
export type { Prediction, PredictOptions, SelfTest } from "./detector/detector";
export { GaussianMixture } from "./statistics/gaussian-mixture";
export type {
  Covariance,
  GaussianMixtureFileOptions,
  GaussianMixtureFitOptions,
  GaussianMixtureOptions,
  Jitter,
  Prior,
} from "./statistics/gaussian-mixture";
export type { Labels } from "./core/labels";
export type { ComputePrecision, Precision } from "./native/precision";
export { presets } from "./protocols/preset";
export type { EvaluationChoices, Preset, PresetName, PresetRecord, PresetTraining } from "./protocols/preset";
export * as datasets from "./data";
export * as device from "./device";
export * as files from "./formats";
export * as linalg from "./statistics/linalg";
export * as metrics from "./metrics";
export * as neuralCollapse from "./statistics/neural-collapse";
export type { EvaluateOptions, Evaluation, EvaluationNumbers } from "./metrics";
export * as scores from "./scores";
export * as sources from "./data/sources";
export type { BatchOptions, ImageSource, SourceBatch, SourceOrder } from "./data/sources";
export type { AugmentationOptions } from "./data/augmentation";
