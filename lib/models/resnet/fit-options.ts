// The options of ResNet.fit, their checks and defaults.

import { boolean, fail, finite, integer, oneOf, optionalFunction, optionalSignal, optionsObject, string } from "../../core/checks";
import type { Dataset } from "../../data/dataset";
import { LibtorchOodError } from "../../core/errors";
import { shortList } from "../../core/lists";
import { checkPrecision, type ComputePrecision, type Precision } from "../../native/precision";
import { presetOf, withPreset, type PresetName, type PresetRecord } from "../../protocols/preset";

/** What one epoch of training was like. */
export interface EpochReport {
  /** Epochs done, from 1. */
  epoch: number;
  /** Mean loss per training sample, as the batches were seen. */
  loss: number;
  /** Share of training samples classified rightly, as the batches were seen. */
  accuracy: number;
  /** Share of validation images classified rightly after the epoch; undefined without a validation set. */
  validationAccuracy: number | undefined;
  /** Of the epoch's last step. */
  learningRate: number;
  imagesPerSecond: number;
  /** Wall time of the training batches. */
  seconds: number;
  /** What the convolutions were computed in: `precision: "auto"` resolved; "float64" where a float64 network was trained in its own dtype. */
  precision: ComputePrecision | "float64";
  /** The preset that the options came from; not there without one. */
  preset?: PresetRecord;
}

/** Where an epoch is; sent about ten times a second. */
export interface BatchReport {
  epoch: number;
  /** Batches done in this epoch, of `batches`. */
  batch: number;
  batches: number;
  /** Mean loss per sample of the epoch so far. */
  loss: number;
  imagesPerSecond: number;
}

/** Options of {@link ResNet.fit}. Only `epochs` is required, and not even that with a preset. */
export type FitOptions = TrainingOptions & ({ epochs: number } | { preset: PresetName });

/** Those of {@link FitOptions}; the defaults are the seed paper's (SGD) at DDU's batch size. */
export interface TrainingOptions {
  /** Gives schedule, optimiser, augmentation, validation share and, for the data sets it was published with, normalisation constants; other options override it. */
  preset?: PresetName;
  /**
   * "cross-entropy", the mean over the batch, or "neural-collapse": Eq. 3 of the seed paper, the sum of NC1, EN and EA of means and classifier,
   * and NC3, over the classes that the batch has ({@link neuralCollapse.loss}). It knows nothing of the last layer's bias, which stays as it is,
   * and leaves out a batch of a single class. Meant for large batches (2048) of a network that cross entropy has trained. Default "cross-entropy".
   */
  loss?: "cross-entropy" | "neural-collapse";
  /** Total number of epochs. */
  epochs?: number;
  /** Default 128. The last batch of an epoch may be smaller. */
  batchSize?: number;
  /** Default 0.1. */
  learningRate?: number;
  /** Default 0.9. */
  momentum?: number;
  /** L2 penalty on all parameters. Default 5e-4. */
  weightDecay?: number;
  /** Default false. */
  nesterov?: boolean;
  /** "milestones": the rate is multiplied by `gamma` after each of `milestones`; "cosine": per step, down to 1e-6 (OpenOOD). Default "milestones". */
  schedule?: "milestones" | "cosine";
  /** Numbers of epochs done when the rate drops. Default: none. */
  milestones?: readonly number[];
  /** Default 0.1. */
  gamma?: number;
  /** "none", or zero pad 4 and random crop, and horizontal flip ("crop-flip", for CIFAR), or each by itself. Default "none". */
  augmentation?: "none" | "crop-flip" | { cropPadding?: number; horizontalFlip?: boolean };
  /** A new order each epoch. Default true. */
  shuffle?: boolean;
  /**
   * Of the convolutions; weights stay float32. "bfloat16" is up to twice as fast where the CPU has bfloat16 units (avx512_bf16, AMX) and on CUDA, and
   * several times slower elsewhere, of which a process warning tells. "auto" takes the faster, or with `resume` that of the checkpoint. Default
   * "float32", whose numbers are the same wherever they are computed.
   */
  precision?: Precision;
  /** Of order and augmentation. Default 0. */
  seed?: number;
  /** Images whose accuracy is reported after each epoch, or the share (0 to 1) of the training set to hold out for it. */
  validation?: Dataset | number;
  /** File to save weights, momentum and history to after every `checkpointEvery` epochs and after the last. */
  checkpoint?: string;
  /** Default 1. */
  checkpointEvery?: number;
  /** Continue from `checkpoint` where that file exists: same architecture, options, data required. Default false. */
  resume?: boolean;
  signal?: AbortSignal;
  /**
   * After every epoch; the next begins when it has returned and the promise that it returns, if any, has been kept. Meanwhile the network can be
   * measured (`extract`, `weights`, `save`) as it is at the epoch's end, which changes nothing in the weights that training ends with.
   * It may end the training by throwing; an abort does not wait for it.
   */
  onEpoch?: (report: EpochReport) => void | Promise<void>;
  /** About ten times a second. `fit` ends when the promises that it returns have settled; it may end the training by throwing. */
  onBatch?: (report: BatchReport) => void | Promise<void>;
}

export const fitKeys = [
  "loss",
  "epochs",
  "batchSize",
  "learningRate",
  "momentum",
  "weightDecay",
  "nesterov",
  "schedule",
  "milestones",
  "gamma",
  "augmentation",
  "shuffle",
  "precision",
  "seed",
  "validation",
  "checkpoint",
  "checkpointEvery",
  "resume",
  "signal",
  "onEpoch",
  "onBatch",
  "preset",
] as const;

/** What decides the weights that training ends with, given the data: kept in a checkpoint and compared on resumption. */
export interface TrainingRecipe {
  loss: "cross-entropy" | "neural-collapse";
  batchSize: number;
  learningRate: number;
  momentum: number;
  weightDecay: number;
  nesterov: boolean;
  schedule: "milestones" | "cosine";
  milestones: number[];
  gamma: number;
  cropPadding: number;
  horizontalFlip: boolean;
  shuffle: boolean;
  precision: ComputePrecision;
  seed: number;
}

export interface ResolvedFitOptions {
  preset: PresetRecord | undefined;
  epochs: number;
  recipe: Omit<TrainingRecipe, "precision">;
  precision: Precision;
  validation: Dataset | number | undefined;
  checkpoint: string | undefined;
  checkpointEvery: number;
  resume: boolean;
  signal: AbortSignal | undefined;
  onEpoch: FitOptions["onEpoch"];
  onBatch: FitOptions["onBatch"];
}

/** Checks the options and fills in the defaults. @throws ERR_OPTION, ERR_RANGE, ERR_NON_FINITE */
export function resolveFitOptions(given: FitOptions, depth: 18 | 50): ResolvedFitOptions {
  const { preset: name, ...stated } = optionsObject<TrainingOptions>(given, "fit options", fitKeys);
  const preset = presetOf(name);
  const { options, record } = withPreset<TrainingOptions>(preset, preset?.training[depth], stated);
  const milestones = shortList(options.milestones ?? [], 1 << 16);
  if (milestones === undefined) fail("ERR_OPTION", "milestones", "an array", options.milestones);
  const checkpoint = options.checkpoint === undefined ? undefined : string(options.checkpoint, "checkpoint");
  const resume = boolean(options.resume ?? false, "resume");
  if (resume && checkpoint === undefined) throw new LibtorchOodError("ERR_OPTION", "resume: expected a checkpoint file to resume from");
  const { validation } = options;
  if (typeof validation === "number" && !(validation > 0 && validation < 1)) {
    throw new LibtorchOodError("ERR_RANGE", `validation: expected a share between 0 and 1, found ${validation}`);
  }
  return {
    preset: record,
    epochs: integer(options.epochs, "epochs", 1, 1 << 24),
    recipe: {
      loss: oneOf(options.loss ?? "cross-entropy", "loss", ["cross-entropy", "neural-collapse"] as const),
      batchSize: integer(options.batchSize ?? 128, "batchSize", 1, 1 << 20),
      learningRate: finite(options.learningRate ?? 0.1, "learningRate", 0),
      momentum: finite(options.momentum ?? 0.9, "momentum", 0, 1),
      weightDecay: finite(options.weightDecay ?? 5e-4, "weightDecay", 0),
      nesterov: boolean(options.nesterov ?? false, "nesterov"),
      schedule: oneOf(options.schedule ?? "milestones", "schedule", ["milestones", "cosine"] as const),
      milestones: milestones.map((milestone) => integer(milestone, "milestones", 0)),
      gamma: finite(options.gamma ?? 0.1, "gamma", 0),
      ...resolveAugmentation(options.augmentation ?? "none"),
      shuffle: boolean(options.shuffle ?? true, "shuffle"),
      seed: integer(options.seed ?? 0, "seed", 0),
    },
    precision: checkPrecision(options.precision),
    validation,
    checkpoint,
    checkpointEvery: integer(options.checkpointEvery ?? 1, "checkpointEvery", 1),
    resume,
    signal: optionalSignal(options.signal, "signal"),
    onEpoch: optionalFunction(options.onEpoch, "onEpoch"),
    onBatch: optionalFunction(options.onBatch, "onBatch"),
  };
}

function resolveAugmentation(value: NonNullable<FitOptions["augmentation"]>): { cropPadding: number; horizontalFlip: boolean } {
  if (value === "none") return { cropPadding: 0, horizontalFlip: false };
  if (value === "crop-flip") return { cropPadding: 4, horizontalFlip: true };
  if (typeof value === "string") oneOf(value, "augmentation", ["none", "crop-flip"]);
  const options = optionsObject(value, "augmentation", ["cropPadding", "horizontalFlip"]);
  return {
    cropPadding: integer(options.cropPadding ?? 0, "augmentation.cropPadding", 0, 4096),
    horizontalFlip: boolean(options.horizontalFlip ?? false, "augmentation.horizontalFlip"),
  };
}
