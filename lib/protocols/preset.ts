// Presets: each is one protocol of the literature as plain data; a caller's options override its choices.

import { oneOf } from "../core/checks";
import { ddu2021 } from "./ddu-2021";
import { openood15 } from "./openood-1.5";
import { seedPaper } from "./seed-paper";

/** Set that counts as positive: `"in"` is the in-distribution set (ODIN, DDU), `"out"` the out-of-distribution set (OpenOOD). */
export type PositiveClass = "in" | "out";

/** Names of the presets. */
export type PresetName = "seed-paper" | "ddu-2021" | "openood-1.5";

/** A protocol of the literature: the choices of one publication as plain data. */
export interface Preset {
  /** The name that `preset` options take. */
  readonly name: PresetName;
  /** Authors, year, and title or journal of the publication; and its repository where it has one. */
  readonly source: string;
  /** Options of `ResNet.create`. */
  readonly architecture: {
    /** Whether activations are leaky ReLU instead of ReLU. */
    readonly leakyRelu: boolean;
    /** Whether shortcuts are average pooling and zero-padded channels instead of 1×1 convolutions. */
    readonly avgPoolShortcut: boolean;
    /** Bound on the largest singular value of each convolution; false for none. */
    readonly spectralNorm:
      | {
          /** Largest singular value that a convolution keeps. */
          readonly coefficient: number;
          /** Number of power iterations per training forward pass. */
          readonly powerIterations: number;
        }
      | false;
    /** Whether features are divided by their Euclidean norm before the last layer. */
    readonly l2Normalize: boolean;
    /** Divisor of the features before the last layer. */
    readonly temperature: number;
  };
  /** Options of `ResNet.fit`, by depth. */
  readonly training: {
    /** Training of a ResNet18. */
    readonly 18: PresetTraining;
    /** Training of a ResNet50. */
    readonly 50: PresetTraining;
  };
  /** Normalisation constants of the data sets that the protocol was published with, by name of the data set. */
  readonly normalizations: Readonly<
    Record<
      string,
      {
        /** Mean of each channel, for pixels scaled to 0 … 1. */
        readonly mean: readonly number[];
        /** Standard deviation of each channel, for pixels scaled to 0 … 1. */
        readonly std: readonly number[];
      }
    >
  >;
  /** Features that scores look at: "normalized" are those that the last layer sees, "raw" those that pooling gives. */
  readonly features: "normalized" | "raw";
  /** Options of `GaussianMixture.fit`. */
  readonly mixture: {
    /** Estimator of the covariances. */
    readonly covariance: "full" | "tied" | "diagonal" | "ledoit-wolf" | "oas";
    /** Probability of each class in the mixture. */
    readonly prior: "empirical" | "uniform" | "none";
    /** Rule for the number that is added to the diagonal of a covariance that is not safely positive definite. */
    readonly jitter: "relative" | "relative-shared" | "ddu";
  };
  /** Options of `metrics.evaluate`. */
  readonly evaluation: EvaluationChoices;
  /** Groups of out-of-distribution sets, by name of the in-distribution set; `evaluation.groups` are those of CIFAR-10, the usual one. */
  readonly groups: Readonly<Record<string, EvaluationChoices["groups"]>>;
}

/** How a protocol trains a network; {@link TrainingOptions} explains each field. */
export interface PresetTraining {
  /** Number of passes over the training images. */
  readonly epochs: number;
  /** Number of images per step. */
  readonly batchSize: number;
  /** Learning rate of SGD at the start. */
  readonly learningRate: number;
  /** Momentum of SGD. */
  readonly momentum: number;
  /** L2 penalty on all parameters. */
  readonly weightDecay: number;
  /** Whether the momentum is Nesterov's. */
  readonly nesterov: boolean;
  /** How the learning rate falls. */
  readonly schedule: "milestones" | "cosine";
  /** Numbers of epochs done when the rate drops. */
  readonly milestones: readonly number[];
  /** Factor of the learning rate at each milestone. */
  readonly gamma: number;
  /** How training images are varied. */
  readonly augmentation: "none" | "crop-flip";
  /** Whether each epoch has a new order of images. */
  readonly shuffle: boolean;
  /** Share of the training images that is held out; undefined for none. */
  readonly validation: number | undefined;
}

/** Choices of an evaluation. The literature uses every combination. AUROC depends on none of them. */
export interface EvaluationChoices {
  /** The positive set of `aupr`; results have `auprIn` and `auprOut` too. */
  readonly auprPositive: PositiveClass;
  /** How the area under the curve of precision against recall is estimated. */
  readonly auprEstimator: "average-precision" | "trapezoid";
  /** The positive set of the FPR, whose true-positive rate is fixed. */
  readonly fprPositive: PositiveClass;
  /** The true-positive rate at which the false-positive rate is read, in (0, 1]. */
  readonly tpr: number;
  /** Groups of out-of-distribution sets over which a macro-average is taken. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
}

/** Record of the preset that a result was made with. */
export interface PresetRecord {
  /** Name of the preset. */
  readonly name: PresetName;
  /** Names of its choices that the caller's options replaced by others. */
  readonly overridden: readonly string[];
}

/**
 * All presets, by name; frozen.
 *
 * @example
 * console.log(presets["seed-paper"].training[18].milestones); // [ 40, 50 ]
 */
export const presets: Readonly<Record<PresetName, Preset>> = deepFreeze({
  "seed-paper": seedPaper,
  "ddu-2021": ddu2021,
  "openood-1.5": openood15,
});

export const presetNames = Object.keys(presets) as PresetName[];

/** The preset of a `preset` option. @throws ERR_OPTION for another name */
export function presetOf(name: PresetName | undefined): Preset | undefined {
  return name === undefined ? undefined : presets[oneOf(name, "preset", presetNames)];
}

/** The options of the preset, overridden by the caller's options that are not undefined; and a record of what was overridden. */
export function withPreset<T extends object>(
  preset: Preset | undefined,
  choices: Partial<T> | undefined,
  given: T,
): { options: T; record: PresetRecord | undefined } {
  if (preset === undefined || choices === undefined) return { options: given, record: undefined };
  const stated = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<T>;
  const overridden = (Object.keys(choices) as (keyof T & string)[]).filter(
    (key) => key in stated && JSON.stringify(stated[key]) !== JSON.stringify(choices[key]),
  );
  return {
    options: { ...given, ...choices, ...stated },
    record: Object.freeze({ name: preset.name, overridden: Object.freeze(overridden) }),
  };
}

/** The record in the JSON of a file; undefined for anything else. */
export function storedPresetRecord(value: unknown): PresetRecord | undefined {
  const { name, overridden } = (typeof value === "object" && value !== null ? value : {}) as { name?: unknown; overridden?: unknown };
  if (!presetNames.includes(name as PresetName) || !Array.isArray(overridden)) return undefined;
  return { name: name as PresetName, overridden: overridden.map(String) };
}

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (typeof part === "object" && part !== null) deepFreeze(part as object);
  return Object.freeze(value);
}
