// The options of ResNet.fit, their checks and defaults.

import { boolean, fail, finite, integer, oneOf, optionalFunction, optionalSignal, optionsObject, string } from "../../core/checks";
import { checkAugmentation, type Augmentation, type AugmentationOptions } from "../../data/augmentation";
import type { Dataset } from "../../data/dataset";
import type { ImageSource } from "../../data/sources/source";
import { LibtorchOodError } from "../../core/errors";
import { shortList } from "../../core/lists";
import { checkOnError, type OnError } from "../../images/failure";
import { checkMaxPixels } from "../../images/image";
import { checkPrecision, type ComputePrecision, type Precision } from "../../native/precision";
import { presetOf, withPreset, type PresetName, type PresetRecord } from "../../protocols/preset";
import type { ResNetDepth } from "./architecture";

/** Report on one epoch of training. */
export interface EpochReport {
  /** Number of epochs done, from 1. */
  epoch: number;
  /** Mean loss per training sample, as the batches were seen. */
  loss: number;
  /** Share of training samples that were classified correctly, as the batches were seen, 0 to 1. */
  accuracy: number;
  /** Share of validation images that are classified correctly after the epoch, 0 to 1; undefined without a validation set. */
  validationAccuracy: number | undefined;
  /** Learning rate of the epoch's last step, of the layers before the last one. */
  learningRate: number;
  /** Training images per second of wall time. */
  imagesPerSecond: number;
  /** Wall time of the training batches, in seconds. */
  seconds: number;
  /** Precision of the convolutions, which tells what `precision: "auto"` became. "float64" where a float64 network was trained in its own dtype. */
  precision: ComputePrecision | "float64";
  /** The preset that the options came from; absent without one. */
  preset?: PresetRecord;
}

/** Progress within an epoch, sent about ten times a second. */
export interface BatchReport {
  /** Number of the epoch, from 1. */
  epoch: number;
  /** Number of batches done in this epoch, of `batches`. */
  batch: number;
  /** Number of batches in an epoch; undefined where the length of the source is not known. */
  batches: number | undefined;
  /** Mean loss per sample of the epoch so far. */
  loss: number;
  /** Training images per second of wall time. */
  imagesPerSecond: number;
}

/** Options of {@link ResNet.fit}. Either `epochs` or `preset` is required. */
export type FitOptions = TrainingOptions &
  (
    | {
        /** Total number of epochs, resumed ones included. */
        epochs: number;
      }
    | {
        /** The preset that gives the number of epochs. */
        preset: PresetName;
      }
  );

/** All fields of {@link FitOptions}. The defaults are the seed paper's (SGD) with DDU's batch size. */
export interface TrainingOptions {
  /**
   * Preset that gives schedule, optimiser, augmentation, validation share and, for the data sets that it was published with, normalisation constants.
   * Other options override it.
   */
  preset?: PresetName;
  /**
   * Loss to minimise. "cross-entropy" is the mean over the batch. "neural-collapse" is Eq. 3 of the seed paper: the sum of NC1, EN and EA of means and
   * classifier, and NC3, over the classes that the batch has ({@link neuralCollapse.loss}). It does not depend on the last layer's bias, which stays as
   * it is. It leaves out a batch of a single class. It is meant for large batches (2048) of a network that cross entropy has trained. Default
   * "cross-entropy".
   */
  loss?: "cross-entropy" | "neural-collapse";
  /** Total number of epochs, resumed ones included, 1 to 2²⁴. */
  epochs?: number;
  /** Number of images per step, 1 to 2²⁰. The last batch of an epoch may be smaller. Default 128, as in DDU. */
  batchSize?: number;
  /** Learning rate at the start, at least 0; or one for the last layer and one for all before it, which the schedule lowers alike. Default 0.1. */
  learningRate?:
    | number
    | {
        /** Learning rate of the last layer (`fc`). */
        head: number;
        /** Learning rate of all other layers. */
        body: number;
      };
  /**
   * Names of parameters or of modules that stay as they are, as in `weights()`: "conv1", "layer1", "layer2.0.bn1", "fc.bias". No weight decay and no
   * momentum moves them. A batch norm that is frozen as a whole keeps its running statistics and normalises by them; a frozen convolution makes no
   * power iterations. Default: none.
   */
  frozen?: readonly string[];
  /** Momentum of SGD, 0 to 1. Default 0.9. */
  momentum?: number;
  /** L2 penalty on all parameters, at least 0. Default 5e-4. */
  weightDecay?: number;
  /** The momentum is Nesterov's. Default false. */
  nesterov?: boolean;
  /**
   * How the learning rate falls. "milestones" multiplies it by `gamma` after each of `milestones`. "cosine" lowers it at each step, down to 1e-6 (as in
   * OpenOOD). Default "milestones".
   */
  schedule?: "milestones" | "cosine";
  /** Numbers of epochs done when the rate drops. Default: none. */
  milestones?: readonly number[];
  /** Factor of the learning rate at each milestone, at least 0. Default 0.1. */
  gamma?: number;
  /**
   * How training images are varied. "crop-flip" is zero padding of 4 with random crop, and random horizontal flip (for CIFAR). "resized-crop-flip" is a
   * random part of the picture, resized, and random horizontal flip (for photographs, from an {@link ImageSource}). An object sets each by itself.
   * Default "none".
   */
  augmentation?: "none" | "crop-flip" | "resized-crop-flip" | AugmentationOptions;
  /** Each epoch has a new order of images. Default true. */
  shuffle?: boolean;
  /**
   * Precision of the convolutions; the weights stay float32. "bfloat16" is up to twice as fast on CUDA and where the CPU has bfloat16 units
   * (avx512_bf16, AMX). It is several times slower elsewhere, and a process warning says so. "auto" takes the faster, or with `resume` the checkpoint's.
   * Default "float32", whose numbers are the same wherever they are computed.
   */
  precision?: Precision;
  /** Seed for the order of images and for augmentation. Default 0. */
  seed?: number;
  /**
   * Images whose accuracy is reported after each epoch, or the share (between 0 and 1) of the training set to hold out for it, where that is a Dataset.
   * Default: none.
   */
  validation?: Dataset | ImageSource | number;
  /**
   * What happens with images of a source that cannot be decoded: see {@link OnError}. Their `index` counts the images of the epoch. A batch of which
   * images were left out is smaller. Default "throw".
   */
  onError?: OnError;
  /** Largest number of pixels that an image file of a source may have: see {@link ExtractOptions}. */
  maxPixels?: number;
  /** Path of the file that weights, momentum and history are saved to after every `checkpointEvery` epochs and after the last. Default: none. */
  checkpoint?: string;
  /**
   * Number of epochs between two checkpoints; or, of long epochs, the number of batches, and then there is one after each epoch too. A run is resumed
   * in the middle of an epoch where its checkpoint was written there. Default 1.
   */
  checkpointEvery?:
    | number
    | {
        /** Number of batches, at least 1. */
        readonly batches: number;
      };
  /**
   * The run continues from `checkpoint` if that file exists. Architecture, options and data must be those of the checkpoint, and `schedule: "cosine"`
   * needs the same `epochs`. Default false.
   */
  resume?: boolean;
  /** Signal that ends the training with ERR_ABORTED. The network then holds the weights of the last finished batch. */
  signal?: AbortSignal;
  /**
   * Function that is called after every epoch. The next epoch begins when it has returned and the promise that it returns, if any, has resolved.
   * Meanwhile the network can be measured (`extract`, `weights`, `save`) as it is at the epoch's end; that does not change the weights that training
   * ends with. An error that it throws ends the training. An abort does not wait for it.
   */
  onEpoch?: (report: EpochReport) => void | Promise<void>;
  /**
   * Function that is called about ten times a second. `fit` ends when the promises that it returned have settled. An error that it throws ends the
   * training.
   */
  onBatch?: (report: BatchReport) => void | Promise<void>;
}

export const fitKeys = [
  "loss",
  "epochs",
  "batchSize",
  "learningRate",
  "frozen",
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
  "onError",
  "maxPixels",
  "checkpoint",
  "checkpointEvery",
  "resume",
  "signal",
  "onEpoch",
  "onBatch",
  "preset",
] as const;

/** The options that, with the data, decide the weights that training ends with. A checkpoint keeps them, and resuming compares them. */
export interface TrainingRecipe {
  loss: "cross-entropy" | "neural-collapse";
  batchSize: number;
  learningRate: number | { head: number; body: number };
  /** In ascending order, none twice. */
  frozen: string[];
  momentum: number;
  weightDecay: number;
  nesterov: boolean;
  schedule: "milestones" | "cosine";
  milestones: number[];
  gamma: number;
  cropPadding: number;
  horizontalFlip: boolean;
  resizedCrop?: Augmentation["resizedCrop"];
  colorJitter?: Augmentation["colorJitter"];
  shuffle: boolean;
  precision: ComputePrecision;
  seed: number;
}

export interface ResolvedFitOptions {
  preset: PresetRecord | undefined;
  epochs: number;
  recipe: Omit<TrainingRecipe, "precision">;
  precision: Precision;
  validation: Dataset | ImageSource | number | undefined;
  onError: OnError;
  maxPixels: number | undefined;
  checkpoint: string | undefined;
  /** In epochs; and in batches of an epoch, 0 for none. */
  checkpointEvery: { epochs: number; batches: number };
  resume: boolean;
  signal: AbortSignal | undefined;
  onEpoch: FitOptions["onEpoch"];
  onBatch: FitOptions["onBatch"];
}

/**
 * Checks the options and fills in the defaults.
 *
 * @throws ERR_OPTION for an unknown option, a value of another type, and `resume` without `checkpoint`; ERR_RANGE for a number outside its range;
 *   ERR_NON_FINITE for NaN and infinity
 */
export function resolveFitOptions(given: FitOptions, depth: ResNetDepth): ResolvedFitOptions {
  const { preset: name, ...stated } = optionsObject<TrainingOptions>(given, "fit options", fitKeys);
  const preset = presetOf(name);
  const choices = preset?.training[depth as 18 | 50];
  if (preset !== undefined && choices === undefined) {
    throw new LibtorchOodError(
      "ERR_OPTION",
      `preset: expected a ResNet18 or ResNet50, which "${preset.name}" trains, found a ResNet${depth}`,
    );
  }
  const { options, record } = withPreset<TrainingOptions>(preset, choices, stated);
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
      learningRate: resolveLearningRate(options.learningRate ?? 0.1),
      frozen: resolveFrozen(options.frozen ?? []),
      momentum: finite(options.momentum ?? 0.9, "momentum", 0, 1),
      weightDecay: finite(options.weightDecay ?? 5e-4, "weightDecay", 0),
      nesterov: boolean(options.nesterov ?? false, "nesterov"),
      schedule: oneOf(options.schedule ?? "milestones", "schedule", ["milestones", "cosine"] as const),
      milestones: milestones.map((milestone) => integer(milestone, "milestones", 0)),
      gamma: finite(options.gamma ?? 0.1, "gamma", 0),
      ...checkAugmentation(options.augmentation),
      shuffle: boolean(options.shuffle ?? true, "shuffle"),
      seed: integer(options.seed ?? 0, "seed", 0),
    },
    precision: checkPrecision(options.precision),
    validation,
    onError: checkOnError(options.onError),
    maxPixels: checkMaxPixels(options.maxPixels),
    checkpoint,
    checkpointEvery: resolveEvery(options.checkpointEvery ?? 1),
    resume,
    signal: optionalSignal(options.signal, "signal"),
    onEpoch: optionalFunction(options.onEpoch, "onEpoch"),
    onBatch: optionalFunction(options.onBatch, "onBatch"),
  };
}

function resolveLearningRate(value: NonNullable<TrainingOptions["learningRate"]>): TrainingRecipe["learningRate"] {
  if (typeof value === "number" || typeof value !== "object") return finite(value, "learningRate", 0);
  const { head, body } = optionsObject(value, "learningRate", ["head", "body"]);
  return { head: finite(head, "learningRate.head", 0), body: finite(body, "learningRate.body", 0) };
}

function resolveFrozen(value: readonly string[]): string[] {
  const names = shortList(value, 1 << 16);
  if (names === undefined) fail("ERR_OPTION", "frozen", "an array of names", value);
  return [...new Set(names.map((name, i) => string(name, `frozen[${i}]`)))].sort();
}

function resolveEvery(value: NonNullable<TrainingOptions["checkpointEvery"]>): ResolvedFitOptions["checkpointEvery"] {
  if (typeof value !== "object" || value === null) return { epochs: integer(value, "checkpointEvery", 1), batches: 0 };
  const { batches } = optionsObject(value, "checkpointEvery", ["batches"]);
  return { epochs: 1, batches: integer(batches, "checkpointEvery.batches", 1) };
}
