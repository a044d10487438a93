// What the package exports.

export { ResNet } from "./resnet";
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
  Image,
  ImageChunk,
  ImageDataLike,
  ImageFailure,
  ImageResize,
  Images,
  LinearHead,
  OnError,
  ResNetOptions,
  SpectralNormOptions,
  TrainingOptions,
} from "./resnet";
export { Tensor } from "./tensor";
export type { ArrayWithShape, Dtype, TensorArray } from "./tensor";
export { isLibtorchOodError, LibtorchOodError } from "./errors";
export type { ErrorCode } from "./errors";
export type { ResizeRecord } from "./images/decode";
export type { Overlap } from "./seen-inputs";
export { Dataset } from "./datasets/dataset";
export { ClassStatistics } from "./class-statistics";
export type { ClassStatisticsOptions, Scatter } from "./class-statistics";
export { Detector } from "./detector";
export type { CalibrationReport, DetectorFeatures, DetectorFitOptions, FlaggedClass, FlaggedShare, NamedInputs } from "./detector";
export type { Prediction, PredictOptions, SelfTest } from "./detector";
export { GaussianMixture } from "./gaussian-mixture";
export type { Covariance, GaussianMixtureFitOptions, GaussianMixtureOptions, Jitter, Prior } from "./gaussian-mixture";
export type { Labels } from "./labels";
export type { ComputePrecision, Precision } from "./precision";
export { presets } from "./presets/preset";
export type { EvaluationChoices, Preset, PresetName, PresetRecord, PresetTraining } from "./presets/preset";
export * as datasets from "./datasets";
export * as device from "./device";
export * as files from "./files";
export * as linalg from "./linalg";
export * as metrics from "./metrics";
export * as neuralCollapse from "./neural-collapse";
export type { EvaluateOptions, Evaluation, EvaluationNumbers } from "./metrics";
export * as scores from "./scores";
