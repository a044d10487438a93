// The rows of `results.jsonl` in a folder of runs: one JSON object a line, written by `experiment run` and read by `experiment report`.

import type { neuralCollapse } from "../index";
import type { MeasuredScore } from "./measured-scores";

/** Name of a data set: one that the library reads, or the name of a folder of images. */
export type OodName = "svhn" | "cifar100" | "tiny-imagenet" | "cifar10" | "mnist" | "fashion-mnist" | "kmnist" | (string & {});

/** One network of an experiment: everything but the seed. Runs of equal cell and seed are equal, whatever preset asked for them. */
export interface Cell {
  /** Name of the cell, readable and unique in the experiment: "resnet18 sn+leaky L2 60". */
  readonly name: string;
  /** ResNet18 or ResNet50. */
  readonly depth: 18 | 50;
  /** Whether convolutions are spectrally normalised. */
  readonly spectralNorm: boolean;
  /** Leaky ReLU and average-pool shortcuts, one switch as in the paper. */
  readonly avgPoolShortcut: boolean;
  /** Whether features are L2-normalised. */
  readonly l2Normalize: boolean;
  /** Number of epochs before scaling, as in the paper: 60, 100, 350, 500, … */
  readonly paperEpochs: number;
  /** Number of epochs that are run. */
  readonly epochs: number;
  /** Numbers of epochs done when the learning rate drops. */
  readonly milestones: readonly number[];
  /** Number of images per step. */
  readonly batchSize: number;
  /** Factor of the channels of every layer. */
  readonly width: number;
  /** Length of the features (2 in Fig. 8); undefined for that of the architecture. */
  readonly featureDim: number | undefined;
}

/** Part of a run that a row belongs to. "nc-loss" and "control" follow a training that stopped at the epoch of the intervention (Fig. 4). */
export type Phase = "training" | "nc-loss" | "control";

/** How well one score tells the in-distribution test set from one other set. */
export interface OodResult {
  /** Chance that an in-distribution image scores higher than one of the other set. */
  readonly auroc: number;
  /** AUPR with the in-distribution set as the positive one. */
  readonly auprIn: number;
  /** AUPR with the other set as the positive one. */
  readonly auprOut: number;
  /** Share of out-of-distribution images at or above the threshold that keeps 95 % of the in-distribution images. */
  readonly fpr95: number;
  /** Number of out-of-distribution images among the top n scores, n the number of in-distribution test images (Fig. 5). */
  readonly falsePositives: number;
}

/** Measurement of a network after an epoch. All fields but `seconds` and `at` are equal for equal cell, seed, phase, epoch and data. */
export interface MeasurementRow {
  /** Tells measurements from the header. */
  readonly kind: "measurement";
  /** The network. */
  readonly cell: Cell;
  /** Seed of weights, order and augmentation. */
  readonly seed: number;
  /** The part of the run. */
  readonly phase: Phase;
  /** Number of epochs done in all; in the phases of an intervention it continues that of the training. */
  readonly epoch: number;
  /** Whether this is the last epoch of the phase. */
  readonly final: boolean;
  /** The name of the in-distribution set. */
  readonly inDistribution: string;
  /** Mean training loss of the epoch. */
  readonly loss: number;
  /** Accuracy on the in-distribution test set, 0 to 1. */
  readonly accuracy: number;
  /** Accuracy on the validation part, 0 to 1; undefined if none is held out. */
  readonly validationAccuracy: number | undefined;
  /** Learning rate of the last step. */
  readonly learningRate: number;
  /** Neural collapse of the training features; `rank` is that of Σ_B. */
  readonly collapse: Pick<
    neuralCollapse.CollapseNumbers,
    "nc1" | "enMeans" | "enClassifier" | "eaMeans" | "eaClassifier" | "nc3" | "nc4" | "rank"
  >;
  /** Results by out-of-distribution set, then by score. */
  readonly ood: Readonly<Record<OodName, Readonly<Partial<Record<MeasuredScore, OodResult>>>>>;
  /** Largest jitter of the mixture's classes, in units of tr(Σ_c)/d. */
  readonly jitter: number;
  /**
   * Singular values by set, if asked for (Fig. 6): the first k of the training features, not centred, and of each set projected on their right singular
   * vectors. `train` and `test` are the in-distribution sets.
   */
  readonly singularValues: Readonly<Record<string, readonly number[]>> | undefined;
  /** Samples by set, if asked for: at most some hundred points each, for Fig. 8 and the histograms and ROC curves of the report. */
  readonly samples: Readonly<Record<string, SampledPoints>> | undefined;
  /** What is smaller than in the paper: "epochs 6 of 60", "20000 training images", … Empty for the paper's own size. */
  readonly scaled: readonly string[];
  /** Wall time in seconds. */
  readonly seconds: {
    /** Time of all epochs of the phase so far. */
    readonly training: number;
    /** Time of this measurement. */
    readonly measurement: number;
  };
  /** Time at which the row was written, ISO 8601 in UTC; absent in older rows. */
  readonly at?: string;
}

/** Evenly chosen samples of one set. */
export interface SampledPoints {
  /** Log densities of the feature mixture. */
  readonly logDensity: readonly number[];
  /** Features [n][2] if they have two dimensions; else undefined. */
  readonly features: readonly (readonly number[])[] | undefined;
  /** The class of each sample, by the numbers of its own set. */
  readonly labels: readonly number[] | undefined;
}

/** First line of the file: what all rows were made with. A folder holds the rows of one configuration; cells may be added. */
export interface HeaderRow {
  /** Tells the header from measurements. */
  readonly kind: "header";
  /** The version of the format. */
  readonly version: 1;
  /** The preset that the folder was begun with; undefined for a configuration of one's own. */
  readonly preset: string | undefined;
  /** The resolved configuration. */
  readonly configuration: unknown;
  /** SHA-256 of what decides the numbers, in hexadecimal. */
  readonly configurationHash: string;
  /** The version of libtorch-ood. */
  readonly library: string;
  /** The version of libtorch. */
  readonly libtorch: string;
  /** Record of the process that made the folder; others may have added rows. Absent in older headers. */
  readonly made?: MadeRecord;
}

/** When, where and by what command results were begun. */
export interface MadeRecord {
  /** Time, ISO 8601 in UTC. */
  readonly at: string;
  /** The machine, such as "AMD EPYC 9005, 2 cores, linux x64". */
  readonly machine: string;
  /** The device: "cpu", or "cuda" with a number. */
  readonly device: string;
  /** Threads of the CPU. */
  readonly threads: number;
  /** The version of Node. */
  readonly node: string;
  /** Command line that repeats the run; undefined if a program began it. */
  readonly command?: string | undefined;
}

/** A line of the file. */
export type ResultRow = HeaderRow | MeasurementRow;
