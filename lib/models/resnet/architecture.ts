// The options that describe a network, their defaults, and their form in a file and in the addon.

import { boolean, finite, integer, oneOf, optionsObject } from "../../core/checks";
import { LibtorchOodError } from "../../core/errors";
import type { NativeArchitecture } from "../../native/surface";

/**
 * Soft spectral normalisation of the convolutions: a convolution whose largest singular value σ exceeds `coefficient` is scaled down to it
 * (Gouk et al. 2018; Mukhoti et al. 2021, DDU).
 */
export interface SpectralNormOptions {
  /** Largest singular value that a convolution keeps, more than 0. Default 3, as in DDU. */
  coefficient?: number;
  /** Power iterations per training forward pass, 1 to 1000. Default 1, as in DDU. */
  powerIterations?: number;
  /** Power iterations when the network is created, 0 to 100,000. They matter because random start vectors underestimate σ. Default 0, as in DDU. */
  warmupIterations?: number;
}

/** Number of layers of a {@link ResNet}: 18 and 34 have blocks of two 3×3 convolutions, 50, 101 and 152 have bottlenecks of three. */
export type ResNetDepth = 18 | 34 | 50 | 101 | 152;

export const resNetDepths = [18, 34, 50, 101, 152] as const;

/**
 * What comes before the residual layers of a {@link ResNet}. `"cifar"` is a 3×3 convolution, for images of about 32 pixels. `"imagenet"` is a 7×7
 * convolution of stride 2 and a max pool of stride 2, for images of about 224 pixels.
 */
export type ResNetStem = "cifar" | "imagenet";

export const resNetStems = ["cifar", "imagenet"] as const;

/** Describes a network: a ResNet as in the DDU benchmark, or as torchvision's. Every departure from a plain ResNet is a switch. */
export interface ArchitectureOptions {
  /** Number of layers: 18 and 34 (d = 512), 50, 101 and 152 (d = 2048). Default 18. */
  depth?: ResNetDepth;
  /** What comes before the residual layers: see {@link ResNetStem}. Default "cifar". */
  stem?: ResNetStem;
  /** Number of classes C, which is the number of logits, 2 to 2²⁰. */
  numClasses: number;
  /** Number of channels of the images, 1 to 4096. Files and RGBA pixels serve networks of 1 (grey) or 3 (RGB) channels. Default 3. */
  inChannels?: number;
  /**
   * Height and width in pixels of the square images that files and RGBA pixels become, 1 to 4096; the spectral norm bounds the convolutions as operators
   * on images of this size. A network with the stem "cifar" takes no other images. With the stem "imagenet", a Dataset or tensor may have images of any
   * height and width. Default 32 for "cifar", 224 for "imagenet".
   */
  imageSize?: number;
  /** Factor of the planes 64, 128, 256, 512 of the four layers, 1/64 to 64. Default 1. */
  width?: number;
  /**
   * Length d of the feature vector, a multiple of 4 from depth 50 on. It changes the planes of the last layer alone. Default: 512 (depth 18 and 34) or
   * 2048 (the others) times `width`.
   */
  featureDim?: number;
  /** Activations are leaky ReLU (slope 0.01) instead of ReLU. Default true, as DDU's `mod`. */
  leakyRelu?: boolean;
  /** Shortcuts are average pooling and zero-padded channels instead of 1×1 convolutions. Default true, as DDU's `mod`. */
  avgPoolShortcut?: boolean;
  /** Spectral normalisation of the convolutions; `false` switches it off. Default `{ coefficient: 3 }`, as in DDU. */
  spectralNorm?: SpectralNormOptions | false;
  /** The last layer sees features divided by their Euclidean norm, which is the seed paper's one change. Default true. */
  l2Normalize?: boolean;
  /** Divisor of the (normalised) features before the last layer, at least 1e-12. Default 1, as in the seed paper. */
  temperature?: number;
}

export const architectureKeys = [
  "depth",
  "stem",
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
  /** Spectral normalisation of the convolutions with its defaults filled in; `false` where the network has none. */
  spectralNorm: Required<SpectralNormOptions> | false;
}

const usualImageSizes = { cifar: 32, imagenet: 224 } as const;

/**
 * Checks the options and fills in the defaults.
 *
 * @throws ERR_OPTION for a value of another type and a `featureDim` that the depth does not allow; ERR_RANGE for a number outside its range;
 *   ERR_NON_FINITE for NaN and infinity
 */
export function resolveArchitecture(options: ArchitectureOptions): Architecture {
  const depth = oneOf(options.depth ?? 18, "depth", resNetDepths);
  const stem = oneOf(options.stem ?? "cifar", "stem", resNetStems);
  const width = finite(options.width ?? 1, "width", 1 / 64, 64);
  const expansion = depth < 50 ? 1 : 4;
  const featureDim = integer(options.featureDim ?? Math.max(1, Math.round(512 * width)) * expansion, "featureDim", 1, 1 << 20);
  if (featureDim % expansion !== 0) {
    throw new LibtorchOodError("ERR_OPTION", `featureDim: expected a multiple of ${expansion} for ResNet${depth}, found ${featureDim}`);
  }
  return {
    depth,
    stem,
    numClasses: integer(options.numClasses, "numClasses", 2, 1 << 20),
    inChannels: integer(options.inChannels ?? 3, "inChannels", 1, 4096),
    imageSize: integer(options.imageSize ?? usualImageSizes[stem], "imageSize", 1, 4096),
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
