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
  ImageChunk,
  Images,
  ResNetOptions,
  SpectralNormOptions,
} from "./resnet";
export { Tensor } from "./tensor";
export type { ArrayWithShape, Dtype, TensorArray } from "./tensor";
export { isLibtorchOodError, LibtorchOodError } from "./errors";
export type { ErrorCode } from "./errors";
export { Dataset } from "./datasets/dataset";
export * as datasets from "./datasets";
export * as device from "./device";
export * as metrics from "./metrics";
