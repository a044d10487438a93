// What a folder of runs holds: one JSON object a line in `results.jsonl`, written by `experiment run` and read by `experiment report`.

import type { neuralCollapse } from "../index";
import type { MeasuredScore } from "./measured-scores";

/** Names of data sets: those that the library reads, and what folders of images go by. */
export type OodName = "svhn" | "cifar100" | "tiny-imagenet" | "cifar10" | "mnist" | "fashion-mnist" | "kmnist" | (string & {});

/** One network of an experiment: everything but the seed. Runs of equal cell and seed are equal, whatever preset asked for them. */
export interface Cell {
  /** Readable and unique in the experiment: "resnet18 sn+leaky L2 60". */
  readonly name: string;
  readonly depth: 18 | 50;
  readonly spectralNorm: boolean;
  /** Leaky ReLU and average-pool shortcuts, one switch as in the paper. */
  readonly avgPoolShortcut: boolean;
  readonly l2Normalize: boolean;
  /** Of the paper's schedule before scaling: 60, 100, 350, 500, … */
  readonly paperEpochs: number;
  /** Epochs that are run. */
  readonly epochs: number;
  readonly milestones: readonly number[];
  readonly batchSize: number;
  readonly width: number;
  /** Length of the features; undefined: that of the architecture. 2 in Fig. 8. */
  readonly featureDim: number | undefined;
}

/** Which part of a run a row belongs to; the last two follow a training run that stopped at the epoch of the intervention (Fig. 4). */
export type Phase = "training" | "nc-loss" | "control";

/** How one score tells the in-distribution test set from one other set. */
export interface OodResult {
  readonly auroc: number;
  readonly auprIn: number;
  readonly auprOut: number;
  /** Share of OoD images at or above the threshold that keeps 95 % of the in-distribution ones. */
  readonly fpr95: number;
  /** OoD images among the top |ID test| scores (Fig. 5). */
  readonly falsePositives: number;
}

/** What a network was like after an epoch. All but `seconds` and `at` are equal for equal cell, seed, phase, epoch and data. */
export interface MeasurementRow {
  readonly kind: "measurement";
  readonly cell: Cell;
  readonly seed: number;
  readonly phase: Phase;
  /** Epochs done in all: in the phases of the intervention it goes on from the training's. */
  readonly epoch: number;
  /** True after the last epoch of the phase. */
  readonly final: boolean;
  readonly inDistribution: string;
  /** Mean training loss of the epoch. */
  readonly loss: number;
  /** On the test set. */
  readonly accuracy: number;
  readonly validationAccuracy: number | undefined;
  readonly learningRate: number;
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
  readonly seconds: { readonly training: number; readonly measurement: number };
  /** When it was written, ISO 8601 in UTC. Rows of before it was kept have none. */
  readonly at?: string;
}

/** Evenly chosen samples of one set. */
export interface SampledPoints {
  /** Log densities of the feature mixture. */
  readonly logDensity: readonly number[];
  /** [n][2] where the features have two dimensions. */
  readonly features: readonly (readonly number[])[] | undefined;
  readonly labels: readonly number[] | undefined;
}

/** First line of the file: what all rows were made with. A folder holds the rows of one configuration (cells may be added). */
export interface HeaderRow {
  readonly kind: "header";
  readonly version: 1;
  readonly preset: string | undefined;
  /** The resolved configuration. */
  readonly configuration: unknown;
  readonly configurationHash: string;
  readonly library: string;
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
  readonly device: string;
  readonly threads: number;
  readonly node: string;
  /** The command line that does it again; undefined where a program did it. */
  readonly command?: string | undefined;
}

export type ResultRow = HeaderRow | MeasurementRow;
