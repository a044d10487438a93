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

export const configurationSchema: JsonSchema = schema;

/** Names of the data sets that the library reads. */
export const knownDatasets: readonly string[] = schema.definitions.dataset.anyOf.flatMap((branch) => branch.enum ?? []);

/** One network, or with lists several: a cell of each combination. */
export interface CellGroup {
  readonly depth: 18 | 50 | readonly (18 | 50)[];
  /** Default true. */
  readonly spectralNorm?: boolean | readonly boolean[];
  /** Leaky ReLU and average-pool shortcuts. Default true. */
  readonly avgPoolShortcut?: boolean | readonly boolean[];
  /** L2 normalisation of the features. Default true. */
  readonly l2Normalize?: boolean | readonly boolean[];
  readonly epochs: number;
  readonly milestones?: readonly number[];
  /** Default 1024. */
  readonly batchSize?: number;
  readonly width?: number;
  readonly featureDim?: number;
  readonly intervention?: Intervention;
}

/** Training that stops at an epoch and goes on with the neural-collapse loss, and beside it as before. */
export interface Intervention {
  readonly epoch: number;
  readonly epochs: number;
  /** Of both phases. Default 0.01, one order below that of training. */
  readonly learningRate?: number;
  readonly milestones?: readonly number[];
  /** With the neural-collapse loss. Default 2048. */
  readonly batchSize?: number;
}

/** What a configuration file holds, and what a preset is. */
export interface Configuration {
  readonly name?: string;
  /** A data set that the library reads, or a folder of images with `train` and `test` in it: `folder:PATH` or `NAME=PATH`. */
  readonly inDistribution: OodName;
  /** Data sets that the library reads, or folders with a folder of images per class. */
  readonly outOfDistribution: readonly OodName[];
  /** Of images in distribution that come from a folder. Default 32. */
  readonly imageSize?: number;
  /** n: the seeds 1 to n. */
  readonly seeds: number | readonly number[];
  readonly validation?: { readonly share?: number; readonly seed?: number };
  readonly training?: Partial<TrainingChoices>;
  readonly mixture?: Partial<MixtureChoices>;
  readonly measurements?: Partial<MeasurementChoices>;
  readonly subset?: { readonly train?: number; readonly test?: number };
  readonly scale?: Scale;
  readonly cells: readonly CellGroup[];
}

export interface TrainingChoices {
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly gamma: number;
  readonly augmentation: "crop-flip" | "none";
  /** "auto" becomes one of the others when the experiment begins, the same for all rows of a folder. */
  readonly precision: Precision;
}

export interface MixtureChoices {
  readonly covariance: Exclude<Covariance, "low-rank">;
  /** In place of "full" where a class has no more samples than dimensions. */
  readonly fewSamples: Exclude<Covariance, "low-rank">;
  readonly prior: Prior;
  readonly jitter: Jitter;
}

export interface MeasurementChoices {
  /** Epochs before scaling; undefined: after the last epoch only. */
  readonly every?: number;
  readonly scores: readonly MeasuredScore[];
  readonly singularValues: number;
  readonly samples: number;
}

export interface Scale {
  /** A schedule of `of` epochs gets `run`, the others in proportion. */
  readonly epochs?: { readonly run: number; readonly of: number };
  readonly batchSize?: number;
  readonly width?: number;
}

/** A {@link Configuration} that was checked, with every default filled in. */
export interface ResolvedConfiguration extends Configuration {
  readonly imageSize: number;
  readonly validation: { readonly share: number; readonly seed: number };
  readonly training: TrainingChoices;
  readonly mixture: MixtureChoices;
  readonly measurements: MeasurementChoices;
  readonly subset: { readonly train?: number; readonly test?: number };
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
