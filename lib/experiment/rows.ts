// What a folder of runs holds: one JSON object a line in `results.jsonl`, written by `experiment run` and read by `experiment report`.

import type { neuralCollapse } from "../index";
import type { MeasuredScore } from "./measured-scores";

/** Names of data sets: those that the library reads, and what folders of images go by. */
export type OodName = "svhn" | "cifar100" | "tiny-imagenet" | "cifar10" | "mnist" | "fashion-mnist" | "kmnist" | (string & {});

/** One network of an experiment: everything but the seed. Runs of equal cell and seed are equal, whatever preset asked for them. */
export interface Cell {
  /** Readable and unique in the experiment: "resnet18 sn+leaky L2 60". */
  readonly name: string;
  /** ResNet18 or ResNet50. */
  readonly depth: 18 | 50;
  /** Whether convolutions are spectrally normalised. */
  readonly spectralNorm: boolean;
  /** Leaky ReLU and average-pool shortcuts, one switch as in the paper. */
  readonly avgPoolShortcut: boolean;
  /** Whether features are L2-normalised. */
  readonly l2Normalize: boolean;
  /** Of the paper's schedule before scaling: 60, 100, 350, 500, … */
  readonly paperEpochs: number;
  /** Epochs that are run. */
  readonly epochs: number;
  /** Numbers of epochs done when the learning rate drops. */
  readonly milestones: readonly number[];
  /** Images per step. */
  readonly batchSize: number;
  /** Factor of the channels of every layer. */
  readonly width: number;
  /** Length of the features; undefined: that of the architecture. 2 in Fig. 8. */
  readonly featureDim: number | undefined;
}

/** Which part of a run a row belongs to; the last two follow a training run that stopped at the epoch of the intervention (Fig. 4). */
export type Phase = "training" | "nc-loss" | "control";

/** How one score tells the in-distribution test set from one other set. */
export interface OodResult {
  /** Chance that an in-distribution image scores higher than one of the other set. */
  readonly auroc: number;
  /** AUPR with the in-distribution set as the positive one. */
  readonly auprIn: number;
  /** AUPR with the other set as the positive one. */
  readonly auprOut: number;
  /** Share of OoD images at or above the threshold that keeps 95 % of the in-distribution ones. */
  readonly fpr95: number;
  /** OoD images among the top |ID test| scores (Fig. 5). */
  readonly falsePositives: number;
}

/** What a network was like after an epoch. All but `seconds` and `at` are equal for equal cell, seed, phase, epoch and data. */
export interface MeasurementRow {
  /** Tells measurements from the header. */
  readonly kind: "measurement";
  /** The network. */
  readonly cell: Cell;
  /** Its seed. */
  readonly seed: number;
  /** The part of the run. */
  readonly phase: Phase;
  /** Epochs done in all: in the phases of the intervention it goes on from the training's. */
  readonly epoch: number;
  /** True after the last epoch of the phase. */
  readonly final: boolean;
  /** The name of the in-distribution set. */
  readonly inDistribution: string;
  /** Mean training loss of the epoch. */
  readonly loss: number;
  /** On the test set. */
  readonly accuracy: number;
  /** Accuracy on the validation part; undefined where none is held out. */
  readonly validationAccuracy: number | undefined;
  /** Learning rate of the last step. */
  readonly learningRate: number;
  /** Neural collapse of the training features; `rank` is that of Σ_B. */
  readonly collapse: Pick<
    neuralCollapse.CollapseNumbers,
    "nc1" | "enMeans" | "enClassifier" | "eaMeans" | "eaClassifier" | "nc3" | "nc4" | "rank"
  >;
  /** By out-of-distribution set, then by score. */
  readonly ood: Readonly<Record<OodName, Readonly<Partial<Record<MeasuredScore, OodResult>>>>>;
  /** Jitter (times trace/d) that the mixture reported, the largest of the classes. */
  readonly jitter: number;
  /** Fig. 6, where asked for: of the training features, and of each set projected on their right singular vectors, `train` and `test` being the in-distribution ones; the first k, not centred. */
  readonly singularValues: Readonly<Record<string, readonly number[]>> | undefined;
  /** Fig. 8 and the histograms and ROC curves of the report, where asked for: at most some hundred points a set. */
  readonly samples: Readonly<Record<string, SampledPoints>> | undefined;
  /** What was made smaller than the paper's: "epochs 6 of 60", "20000 training images", … Empty for the paper's own size. */
  readonly scaled: readonly string[];
  /** Wall time in seconds. */
  readonly seconds: {
    /** Of all epochs of the phase so far. */
    readonly training: number;
    /** Of this measurement. */
    readonly measurement: number;
  };
  /** When it was written, ISO 8601 in UTC. Rows of before it was kept have none. */
  readonly at?: string;
}

/** Evenly chosen samples of one set. */
export interface SampledPoints {
  /** Log densities of the feature mixture. */
  readonly logDensity: readonly number[];
  /** [n][2] where the features have two dimensions. */
  readonly features: readonly (readonly number[])[] | undefined;
  /** The class of each sample, by the numbers of its own set. */
  readonly labels: readonly number[] | undefined;
}

/** First line of the file: what all rows were made with. A folder holds the rows of one configuration (cells may be added). */
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
  /** Of the process that made the folder; others may have added to it. Headers of before it was kept have none. */
  readonly made?: MadeRecord;
}

/** When, where and by what command results were begun. */
export interface MadeRecord {
  /** ISO 8601 in UTC. */
  readonly at: string;
  /** "AMD EPYC 9005, 2 cores, linux x64". */
  readonly machine: string;
  /** The device: "cpu", or "cuda" with a number. */
  readonly device: string;
  /** Threads of the CPU. */
  readonly threads: number;
  /** The version of Node. */
  readonly node: string;
  /** The command line that does it again; undefined where a program did it. */
  readonly command?: string | undefined;
}

/** A line of the file. */
export type ResultRow = HeaderRow | MeasurementRow;
