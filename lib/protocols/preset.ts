// Presets: each is one protocol of the literature as plain data; a caller's options override its choices.

import { oneOf } from "../core/checks";
import { ddu2021 } from "./ddu-2021";
import { openood15 } from "./openood-1.5";
import { seedPaper } from "./seed-paper";

/** `"in"`: in-distribution is positive (ODIN, DDU). `"out"`: out-of-distribution is positive (OpenOOD). */
export type PositiveClass = "in" | "out";

/** Names of the presets. */
export type PresetName = "seed-paper" | "ddu-2021" | "openood-1.5";

/** One protocol of the literature: the choices of a publication as plain data. */
export interface Preset {
  /** The name that `preset` options take. */
  readonly name: PresetName;
  /** Title, year and where its code is. */
  readonly source: string;
  /** Options of `ResNet.create`. */
  readonly architecture: {
    /** Whether activations are leaky. */
    readonly leakyRelu: boolean;
    /** Whether shortcuts pool averages and pad channels with zeros. */
    readonly avgPoolShortcut: boolean;
    /** The bound on the largest singular value of each convolution; false: none. */
    readonly spectralNorm:
      | {
          /** The bound. */
          readonly coefficient: number;
          /** Steps of the power iteration in each forward pass. */
          readonly powerIterations: number;
        }
      | false;
    /** Whether features are divided by their length before the last layer. */
    readonly l2Normalize: boolean;
    /** What divides the features before the last layer. */
    readonly temperature: number;
  };
  /** Options of `ResNet.fit`, by depth. */
  readonly training: {
    /** For ResNet18. */
    readonly 18: PresetTraining;
    /** For ResNet50. */
    readonly 50: PresetTraining;
  };
  /** Constants of the data sets that the protocol was published with, by name. */
  readonly normalizations: Readonly<
    Record<
      string,
      {
        /** Mean of each channel, for pixels scaled to 0 … 1. */
        readonly mean: readonly number[];
        /** Standard deviation of each channel. */
        readonly std: readonly number[];
      }
    >
  >;
  /** What scores look at: features as the last layer sees them. */
  readonly features: "normalized" | "raw";
  /** Options of `GaussianMixture.fit`. */
  readonly mixture: {
    /** How the covariance of each class is estimated. */
    readonly covariance: "full" | "tied" | "diagonal" | "ledoit-wolf" | "oas";
    /** The probability of each class. */
    readonly prior: "empirical" | "uniform" | "none";
    /** What is added to a covariance that is not safely positive definite. */
    readonly jitter: "relative" | "relative-shared" | "ddu";
  };
  /** Options of `metrics.evaluate`. */
  readonly evaluation: EvaluationChoices;
  /** The groups of out-of-distribution sets by the in-distribution set; `evaluation.groups` are those of CIFAR-10, the usual one. */
  readonly groups: Readonly<Record<string, EvaluationChoices["groups"]>>;
}

/** How a protocol trains a network; {@link TrainingOptions} explains each field. */
export interface PresetTraining {
  /** Passes over the training images. */
  readonly epochs: number;
  /** Images per step. */
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
  /** What multiplies the rate at each milestone. */
  readonly gamma: number;
  /** How training images are varied. */
  readonly augmentation: "none" | "crop-flip";
  /** Whether each epoch has a new order. */
  readonly shuffle: boolean;
  /** Share of the training images; undefined: none is held out of them. */
  readonly validation: number | undefined;
}

/** What `metrics.evaluate` has to be told: the literature uses every combination. AUROC needs no choice but the order of its two sets. */
export interface EvaluationChoices {
  /** The set whose AUPR is `aupr`; `auprIn` and `auprOut` are both given. */
  readonly auprPositive: PositiveClass;
  /** How the area under the curve of precision against recall is estimated. */
  readonly auprEstimator: "average-precision" | "trapezoid";
  /** The set whose true-positive rate is fixed. */
  readonly fprPositive: PositiveClass;
  /** The true-positive rate at which the false-positive rate is read, in (0, 1]. */
  readonly tpr: number;
  /** Groups of out-of-distribution sets over which a macro-average is taken. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
}

/** Which preset a result was made with, and which of its choices the caller's options replaced by others. */
export interface PresetRecord {
  /** The preset. */
  readonly name: PresetName;
  /** Names of its choices that the caller's options replaced. */
  readonly overridden: readonly string[];
}

/** All presets, by name; frozen. */
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

/** The caller's options over those of the preset: a key that is given (and not undefined) counts. */
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

/** A record as a file holds it; undefined for anything else. */
export function storedPresetRecord(value: unknown): PresetRecord | undefined {
  const { name, overridden } = (typeof value === "object" && value !== null ? value : {}) as { name?: unknown; overridden?: unknown };
  if (!presetNames.includes(name as PresetName) || !Array.isArray(overridden)) return undefined;
  return { name: name as PresetName, overridden: overridden.map(String) };
}

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (typeof part === "object" && part !== null) deepFreeze(part as object);
  return Object.freeze(value);
}
