// The options that describe a network, their defaults, and their form in a file and in the addon.

import { boolean, finite, integer, oneOf, optionsObject } from "../../core/checks";
import { LibtorchOodError } from "../../core/errors";
import type { NativeArchitecture } from "../../native/surface";

/** Soft spectral normalisation of the convolutions (METHOD: DDU; Gouk et al. 2018). */
export interface SpectralNormOptions {
  /** Largest singular value that a convolution may keep. Default 3 (DDU). */
  coefficient?: number;
  /** Power iterations per training forward pass. Default 1 (DDU). */
  powerIterations?: number;
  /** Power iterations at creation; random start vectors underestimate σ. Default 0 (DDU). */
  warmupIterations?: number;
}

/** The network: a CIFAR-stem ResNet as in the DDU benchmark, every departure a switch. */
export interface ArchitectureOptions {
  /** ResNet18 (d = 512) or ResNet50 (d = 2048). Default 18. */
  depth?: 18 | 50;
  numClasses: number;
  /** Default 3. */
  inChannels?: number;
  /** Height and width of the square images, in pixels. Default 32. */
  imageSize?: number;
  /** Multiplies the planes 64, 128, 256, 512 of the four layers. Default 1. */
  width?: number;
  /** Length d of the feature vector, by the planes of the last layer alone (a multiple of 4 for ResNet50). Default: what depth and width give. */
  featureDim?: number;
  /** Leaky ReLU (slope 0.01) in place of ReLU. Default true, as DDU's `mod`. */
  leakyRelu?: boolean;
  /** Shortcuts by average pooling and zero-padded channels in place of 1×1 convolutions. Default true, as DDU's `mod`. */
  avgPoolShortcut?: boolean;
  /** Default `{ coefficient: 3 }`; `false`: none. */
  spectralNorm?: SpectralNormOptions | false;
  /** Divide features by their Euclidean norm before the last layer (the seed paper's one change). Default true. */
  l2Normalize?: boolean;
  /** Divides the (normalised) features before the last layer. Default 1, the paper. */
  temperature?: number;
}

export const architectureKeys = [
  "depth",
  "numClasses",
  "inChannels",
  "imageSize",
  "width",
  "featureDim",
  "leakyRelu",
  "avgPoolShortcut",
  "spectralNorm",
  "l2Normalize",
  "temperature",
] as const;

/** {@link ArchitectureOptions} with every default filled in. */
export interface Architecture extends Required<Omit<ArchitectureOptions, "spectralNorm">> {
  spectralNorm: Required<SpectralNormOptions> | false;
}

/** Checks the options and fills in the defaults. @throws ERR_OPTION, ERR_RANGE */
export function resolveArchitecture(options: ArchitectureOptions): Architecture {
  const depth = oneOf(options.depth ?? 18, "depth", [18, 50] as const);
  const width = finite(options.width ?? 1, "width", 1 / 64, 64);
  const expansion = depth === 18 ? 1 : 4;
  const featureDim = integer(options.featureDim ?? Math.max(1, Math.round(512 * width)) * expansion, "featureDim", 1, 1 << 20);
  if (featureDim % expansion !== 0) {
    throw new LibtorchOodError("ERR_OPTION", `featureDim: expected a multiple of ${expansion} for ResNet${depth}, found ${featureDim}`);
  }
  return {
    depth,
    numClasses: integer(options.numClasses, "numClasses", 2, 1 << 20),
    inChannels: integer(options.inChannels ?? 3, "inChannels", 1, 4096),
    imageSize: integer(options.imageSize ?? 32, "imageSize", 1, 4096),
    width,
    featureDim,
    leakyRelu: boolean(options.leakyRelu ?? true, "leakyRelu"),
    avgPoolShortcut: boolean(options.avgPoolShortcut ?? true, "avgPoolShortcut"),
    spectralNorm: resolveSpectralNorm(options.spectralNorm),
    l2Normalize: boolean(options.l2Normalize ?? true, "l2Normalize"),
    temperature: finite(options.temperature ?? 1, "temperature", 1e-12),
  };
}

function resolveSpectralNorm(value: SpectralNormOptions | false | undefined): Architecture["spectralNorm"] {
  if (value === false) return false;
  const options = optionsObject(value, "spectralNorm", ["coefficient", "powerIterations", "warmupIterations"]);
  return {
    coefficient: finite(options.coefficient ?? 3, "spectralNorm.coefficient", Number.MIN_VALUE),
    powerIterations: integer(options.powerIterations ?? 1, "spectralNorm.powerIterations", 1, 1000),
    warmupIterations: integer(options.warmupIterations ?? 0, "spectralNorm.warmupIterations", 0, 100000),
  };
}

export function toNativeArchitecture({ spectralNorm, ...rest }: Architecture): NativeArchitecture {
  return {
    ...rest,
    spectralNormCoefficient: spectralNorm ? spectralNorm.coefficient : 0,
    powerIterations: spectralNorm ? spectralNorm.powerIterations : 1,
    warmupIterations: spectralNorm ? spectralNorm.warmupIterations : 0,
  };
}
