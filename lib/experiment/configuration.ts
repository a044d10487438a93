// The configuration of an experiment (data sets, networks, schedules, seeds, measurements): its type, its checks and its reader. schema.json is the
// published schema.

import { extname } from "node:path";
import { LibtorchOodError } from "../core/errors";
import { corruptFile } from "../core/file-errors";
import { parseJson } from "../formats/json";
import { readTextFile } from "../formats/text-file";
import type { Covariance, Jitter, Precision, Prior } from "../index";
import { datasetReference, nameProblem } from "./dataset-name";
import { checkJson, withDefaults, type JsonSchema } from "./json-schema";
import { scoreChoice, type MeasuredScore } from "./measured-scores";
import type { OodName } from "./rows";
import schema from "./schema.json";

/** Largest configuration file; a thousand cells take a tenth of it. */
const maxFileBytes = 1 << 20;

/** The JSON schema (draft 7) of configuration files. */
export const configurationSchema: JsonSchema = schema;

/** Names of the data sets that the library reads. */
export const knownDatasets: readonly string[] = schema.definitions.dataset.anyOf.flatMap((branch) => branch.enum ?? []);

/** One network, or several if values are lists: then each combination is a cell. */
export interface CellGroup {
  /** ResNet18 or ResNet50, or a list of both. */
  readonly depth: 18 | 50 | readonly (18 | 50)[];
  /** Spectral normalisation of the convolutions. Default true. */
  readonly spectralNorm?: boolean | readonly boolean[];
  /** Leaky ReLU and average-pool shortcuts, one switch as in the paper. Default true. */
  readonly avgPoolShortcut?: boolean | readonly boolean[];
  /** L2 normalisation of the features. Default true. */
  readonly l2Normalize?: boolean | readonly boolean[];
  /** Number of epochs of training, before scaling. */
  readonly epochs: number;
  /** Numbers of epochs done when the learning rate drops, before scaling. Default: none. */
  readonly milestones?: readonly number[];
  /** Number of images per step. Default 1024, as in the paper. */
  readonly batchSize?: number;
  /** Factor of the channels of every layer. Default 1. */
  readonly width?: number;
  /** Length of the feature vector. Default: what depth and width give. */
  readonly featureDim?: number;
  /** What follows the training of the cell. Default: nothing. */
  readonly intervention?: Intervention;
}

/** Training that stops at an epoch and continues in two phases: once with the neural-collapse loss, and once as before (the control). */
export interface Intervention {
  /** Number of epochs of training done when the intervention begins. */
  readonly epoch: number;
  /** Number of epochs of each of the two phases. */
  readonly epochs: number;
  /** Learning rate of both phases. Default 0.01, a tenth of the default of training. */
  readonly learningRate?: number;
  /** Numbers of the phase's epochs done when the learning rate drops. Default: none. */
  readonly milestones?: readonly number[];
  /** Number of images per step with the neural-collapse loss; the control keeps the cell's. Default 2048. */
  readonly batchSize?: number;
}

/** Configuration of an experiment, as a file holds it and a preset gives it. */
export interface Configuration {
  /** Title of the experiment, for its report. */
  readonly name?: string;
  /** A data set that the library reads, or a folder of images with `train` and `test` in it: `folder:PATH` or `NAME=PATH`. */
  readonly inDistribution: OodName;
  /** Data sets that the library reads, or folders with a folder of images per class. */
  readonly outOfDistribution: readonly OodName[];
  /** Height and width in pixels of in-distribution images from a folder. Default 32. */
  readonly imageSize?: number;
  /** The seeds, or a number n for the seeds 1 to n. */
  readonly seeds: number | readonly number[];
  /** The part of the training images that is held out. */
  readonly validation?: {
    /** Share of the training images that is held out. Default 0.1. */
    readonly share?: number;
    /** Seed of the split. Default 0. */
    readonly seed?: number;
  };
  /** How all cells are trained. */
  readonly training?: Partial<TrainingChoices>;
  /** The Gaussian mixture of all measurements. */
  readonly mixture?: Partial<MixtureChoices>;
  /** What is measured, and when. */
  readonly measurements?: Partial<MeasurementChoices>;
  /** How many images are used of each set, evenly drawn. */
  readonly subset?: {
    /** Training images, those held out included. Default: all. */
    readonly train?: number;
    /** Images of the test set and of each out-of-distribution set. Default: all. */
    readonly test?: number;
  };
  /** What is smaller than the cells say. Default: nothing. */
  readonly scale?: Scale;
  /** The networks. */
  readonly cells: readonly CellGroup[];
}

/** How networks are trained. */
export interface TrainingChoices {
  /** Learning rate of SGD at the start. Default 0.1. */
  readonly learningRate: number;
  /** Momentum of SGD. Default 0.9. */
  readonly momentum: number;
  /** L2 penalty on all parameters. Default 5e-4. */
  readonly weightDecay: number;
  /** Factor of the learning rate at each milestone. Default 0.1. */
  readonly gamma: number;
  /** Random crops and flips of the training images, or none. Default "crop-flip". */
  readonly augmentation: "crop-flip" | "none";
  /** Precision of the convolutions. "auto" becomes one of the others when the experiment begins, the same for all rows of a folder. Default "float32". */
  readonly precision: Precision;
}

/** The Gaussian mixture of the measurements. */
export interface MixtureChoices {
  /** Estimator of the covariances. Default "full". */
  readonly covariance: Exclude<Covariance, "low-rank">;
  /** Estimator that replaces "full" if a class has no more samples than dimensions. Default "ledoit-wolf". */
  readonly fewSamples: Exclude<Covariance, "low-rank">;
  /** Probability of each class in the mixture. Default "empirical". */
  readonly prior: Prior;
  /** Number that is added to the diagonal of a covariance that is not safely positive definite, or the rule for it. Default "relative". */
  readonly jitter: Jitter;
}

/** What is measured of a network, and when. */
export interface MeasurementChoices {
  /** Number of epochs, before scaling, between two measurements. Default: only after the last epoch. */
  readonly every?: number;
  /** Scores to compare. Default: `"gaussian-mixture"`, `"max-softmax"`, `"gaussian-mixture:logits"`. */
  readonly scores: readonly MeasuredScore[];
  /** Number of singular values of the features in the last row of a run; 0 for none. Default 20. */
  readonly singularValues: number;
  /** Number of samples of each set in the last row of a run; 0 for none. Default 400. */
  readonly samples: number;
}

/** What is smaller than a configuration says. Every row records it. */
export interface Scale {
  /** Scale of all schedules: one of `of` epochs runs `run` epochs, the others are in proportion. Default: none. */
  readonly epochs?: {
    /** Number of epochs that the schedule gets. */
    readonly run: number;
    /** Number of epochs of the schedule before scaling. */
    readonly of: number;
  };
  /** Number of images per step for every cell; that of an intervention follows in proportion. Default: those of the cells. */
  readonly batchSize?: number;
  /** Factor of the width of every cell. Default 1. */
  readonly width?: number;
}

/** A checked {@link Configuration} with every default filled in. */
export interface ResolvedConfiguration extends Configuration {
  readonly imageSize: number;
  /** The part of the training images that is held out. */
  readonly validation: {
    /** Share of the training images that is held out. */
    readonly share: number;
    /** Seed of the split. */
    readonly seed: number;
  };
  /** How all cells are trained. */
  readonly training: TrainingChoices;
  /** The Gaussian mixture of all measurements. */
  readonly mixture: MixtureChoices;
  /** What is measured, and when. */
  readonly measurements: MeasurementChoices;
  /** How many images are used of each set, evenly drawn. */
  readonly subset: {
    /** Training images, those held out included. Default: all. */
    readonly train?: number;
    /** Images of the test set and of each out-of-distribution set. Default: all. */
    readonly test?: number;
  };
  /** What is made smaller than the cells say. */
  readonly scale: Scale;
}

/**
 * Checks a configuration and fills in its defaults.
 *
 * @param value - the configuration, of any origin
 * @param name - name of the configuration in messages, such as a file or a preset
 * @throws ERR_OPTION for a value that is no configuration, with the path to the field, what was expected there and what was found
 * @example
 * const { cells, seeds } = experiments.resolveConfiguration(experiments.experimentPreset("table1"), "table1");
 */
export function resolveConfiguration(value: unknown, name: string): ResolvedConfiguration {
  checkJson(value, configurationSchema, name);
  const sections = { validation: {}, training: {}, mixture: {}, measurements: {}, subset: {}, scale: {} };
  const filled = withDefaults({ ...sections, ...(value as Configuration) }, configurationSchema) as ResolvedConfiguration;
  const at = (path: string, expected: string, found: unknown): never => {
    throw new LibtorchOodError("ERR_OPTION", `${name}: ${path}: expected ${expected}, found ${JSON.stringify(found)}`);
  };
  const { inDistribution, outOfDistribution } = filled;
  const names = new Map<string, string>();
  for (const [index, text] of [inDistribution, ...outOfDistribution].entries()) {
    const field = index === 0 ? "inDistribution" : `outOfDistribution[${index - 1}]`;
    const reference = datasetReference(text);
    const problem = nameProblem(reference, knownDatasets);
    if (problem !== undefined) at(field, problem, text);
    const other = names.get(reference.name);
    if (other !== undefined) at(field, `another ${reference.folder === undefined ? "data set" : "name"} than ${other}`, text);
    names.set(reference.name, field);
  }
  filled.measurements.scores.forEach((score, i) => scoreChoice(score, `${name}: measurements.scores[${i}]`));
  filled.cells.forEach(({ epochs, milestones = [], intervention, depth, featureDim }, index) => {
    const ascending = (list: readonly number[], path: string): void => {
      const wrong = list.findIndex((milestone, i) => i > 0 && milestone <= (list[i - 1] as number));
      if (wrong >= 0) at(`${path}[${wrong}]`, `more than ${list[wrong - 1]}, the one before`, list[wrong]);
    };
    ascending(milestones, `cells[${index}].milestones`);
    if (featureDim !== undefined && featureDim % 4 !== 0 && [depth].flat().includes(50)) {
      at(`cells[${index}].featureDim`, "a multiple of 4 for depth 50", featureDim);
    }
    if (intervention === undefined) return;
    ascending(intervention.milestones ?? [], `cells[${index}].intervention.milestones`);
    if (intervention.epoch > epochs)
      at(`cells[${index}].intervention.epoch`, `at most the ${epochs} epochs of the cell`, intervention.epoch);
  });
  return filled;
}

/**
 * Reads a configuration file: YAML if its name ends in .yaml or .yml, else JSON. YAML needs the package `yaml`, an optional peer dependency that is
 * loaded only here.
 *
 * @param path - path of the file
 * @param signal - ends the reading of a pipe
 * @throws ERR_IO if the file cannot be read; ERR_CORRUPT_FILE if it is no JSON or YAML; ERR_OPTION if it is no configuration, or `yaml` is needed and not
 *   installed; ERR_ABORTED after an abort while a pipe is read
 * @example
 * const configuration = await experiments.readConfiguration("my.yaml");
 * await experiments.run(configuration, { data: "data", out: "runs" });
 */
export async function readConfiguration(path: string, signal?: AbortSignal): Promise<Configuration> {
  const text = await readTextFile(path, "a configuration", maxFileBytes, { fromUser: true, signal });
  const isYaml = [".yaml", ".yml"].includes(extname(path).toLowerCase());
  const parse = isYaml ? yamlParser(path) : parseJson;
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    throw corruptFile(path, isYaml ? "YAML" : "JSON", (cause as Error).message, cause);
  }
  checkJson(value, configurationSchema, path);
  return value as Configuration;
}

function yamlParser(path: string): (text: string) => unknown {
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- an optional peer, loaded only where it is needed
    return (require("yaml") as { parse: (text: string) => unknown }).parse;
  } catch (cause) {
    if ((cause as { code?: unknown }).code !== "MODULE_NOT_FOUND") throw cause;
    const message = `${path}: a YAML configuration needs the package yaml, which is not installed: npm install yaml, or write it as JSON`;
    throw new LibtorchOodError("ERR_OPTION", message, { cause });
  }
}
