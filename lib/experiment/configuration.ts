// What an experiment is, as a file or a preset says it: data sets, networks, schedules, seeds, measurements. schema.json is its published form.

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

/** A thousand cells take a tenth of it. */
const maxFileBytes = 1 << 20;

/** The JSON schema (draft 7) of configuration files. */
export const configurationSchema: JsonSchema = schema;

/** Names of the data sets that the library reads. */
export const knownDatasets: readonly string[] = schema.definitions.dataset.anyOf.flatMap((branch) => branch.enum ?? []);

/** One network, or with lists several: a cell of each combination. */
export interface CellGroup {
  /** ResNet18 or ResNet50, or a list of both. */
  readonly depth: 18 | 50 | readonly (18 | 50)[];
  /** Default true. */
  readonly spectralNorm?: boolean | readonly boolean[];
  /** Leaky ReLU and average-pool shortcuts. Default true. */
  readonly avgPoolShortcut?: boolean | readonly boolean[];
  /** L2 normalisation of the features. Default true. */
  readonly l2Normalize?: boolean | readonly boolean[];
  /** Epochs of training, before scaling. */
  readonly epochs: number;
  /** Numbers of epochs done when the learning rate drops, before scaling. Default: none. */
  readonly milestones?: readonly number[];
  /** Default 1024. */
  readonly batchSize?: number;
  /** Multiplies the channels of every layer. Default 1. */
  readonly width?: number;
  /** Length of the feature vector. Default: what depth and width give. */
  readonly featureDim?: number;
  /** What follows the training of the cell. Default: nothing. */
  readonly intervention?: Intervention;
}

/** Training that stops at an epoch and goes on with the neural-collapse loss, and beside it as before. */
export interface Intervention {
  /** Epochs of training done when it begins. */
  readonly epoch: number;
  /** Epochs of each of its two phases. */
  readonly epochs: number;
  /** Of both phases. Default 0.01, one order below that of training. */
  readonly learningRate?: number;
  /** Numbers of its epochs done when the learning rate drops. Default: none. */
  readonly milestones?: readonly number[];
  /** With the neural-collapse loss. Default 2048. */
  readonly batchSize?: number;
}

/** What a configuration file holds, and what a preset is. */
export interface Configuration {
  /** The title of the experiment, for its report. Default: the name of the preset or file. */
  readonly name?: string;
  /** A data set that the library reads, or a folder of images with `train` and `test` in it: `folder:PATH` or `NAME=PATH`. */
  readonly inDistribution: OodName;
  /** Data sets that the library reads, or folders with a folder of images per class. */
  readonly outOfDistribution: readonly OodName[];
  /** Of images in distribution that come from a folder. Default 32. */
  readonly imageSize?: number;
  /** n: the seeds 1 to n. */
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
  /** What is made smaller than the cells say. */
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
  /** What multiplies the learning rate at each milestone. Default 0.1. */
  readonly gamma: number;
  /** Random crops and flips of the training images, or none. Default "crop-flip". */
  readonly augmentation: "crop-flip" | "none";
  /** "auto" becomes one of the others when the experiment begins, the same for all rows of a folder. */
  readonly precision: Precision;
}

/** The Gaussian mixture of the measurements. */
export interface MixtureChoices {
  /** How the covariance of each class is estimated. */
  readonly covariance: Exclude<Covariance, "low-rank">;
  /** In place of "full" where a class has no more samples than dimensions. */
  readonly fewSamples: Exclude<Covariance, "low-rank">;
  /** The probability of each class. */
  readonly prior: Prior;
  /** What is added to a covariance that is not safely positive definite. */
  readonly jitter: Jitter;
}

/** What is measured of a network, and when. */
export interface MeasurementChoices {
  /** Epochs before scaling; undefined: after the last epoch only. */
  readonly every?: number;
  /** The scores that are compared. */
  readonly scores: readonly MeasuredScore[];
  /** How many singular values of the features rows hold. 0: none. */
  readonly singularValues: number;
  /** How many samples of each set rows hold. 0: none. */
  readonly samples: number;
}

/** What is made smaller than a configuration says. Every row tells of it. */
export interface Scale {
  /** A schedule of `of` epochs gets `run`, the others in proportion. */
  readonly epochs?: {
    /** Epochs that the schedule gets. */
    readonly run: number;
    /** Epochs of the schedule. */
    readonly of: number;
  };
  /** Images per step, in place of those of the cells. */
  readonly batchSize?: number;
  /** What the width of every cell is multiplied by. */
  readonly width?: number;
}

/** A {@link Configuration} that was checked, with every default filled in. */
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
 * @param name - of the configuration, for messages: a file, a preset
 * @throws ERR_OPTION with the path to the field, what was expected there and what was found
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
 * Reads a configuration file: JSON, or YAML where its name ends in .yaml or .yml.
 *
 * YAML needs the package `yaml`, an optional peer dependency that is loaded only here.
 *
 * @throws ERR_IO, ERR_CORRUPT_FILE where it is no JSON or YAML, ERR_OPTION where it is no configuration or `yaml` is not installed;
 *   ERR_ABORTED while a pipe is read
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
