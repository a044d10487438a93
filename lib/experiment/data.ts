// Reads the data sets of an experiment from one directory, takes subsets, splits them, and hashes them.

import { join, resolve } from "node:path";
import { isLibtorchOodError, LibtorchOodError } from "../core/errors";
import { judgeOverlap, type Overlap } from "../core/overlap";
import { randomPermutation } from "../core/random-permutation";
import { datasets, type Dataset, type ResizeRecord } from "../index";
import type { ResolvedConfiguration } from "./configuration";
import { datasetReference } from "./dataset-name";

/** Reader of a data set in the data directory. `train` is absent for a set that is only ever out of distribution. */
export interface DatasetReader {
  /** Reads the training images. */
  readonly train?: (directory: string) => Promise<Dataset>;
  /**
   * Reads the test images.
   *
   * @param directory - the data directory
   * @param form - shape of the in-distribution images, for a reader that decodes images; the result may have another shape
   */
  readonly test: (directory: string, form: datasets.ImageForm) => Promise<Dataset>;
}

/** Readers by the name that a configuration gives. */
export type DatasetReaders = Readonly<Record<string, DatasetReader>>;

const { imageFolder } = datasets;

/** The data sets that the library reads, each in the layouts that its reader documents. */
export const datasetReaders: DatasetReaders = Object.fromEntries(
  (Object.keys(datasets.catalogue) as datasets.DatasetName[]).map((name) => [name, published(name)]),
);

function published(name: datasets.DatasetName): DatasetReader {
  const parts: readonly datasets.DatasetPart[] = datasets.catalogue[name].parts;
  return {
    ...(parts.includes("train") && { train: (directory) => datasets.read(name, directory, { part: "train" }) }),
    test: (directory, { imageSize }) => datasets.read(name, directory, { imageSize }),
  };
}

/** Reader of a folder: in distribution it has `train` and `test` in it, each with a folder per class; out of distribution it has a folder per class itself. */
function folderReader(folder: string, imageSize: number, inDistribution: boolean): DatasetReader {
  const at = (directory: string, part = ""): string => join(resolve(directory, folder), part);
  if (!inDistribution) {
    return { test: (directory, form) => imageFolder(at(directory), { imageSize: form.imageSize, channels: form.channels === 1 ? 1 : 3 }) };
  }
  return {
    train: (directory) => imageFolder(at(directory, "train"), { imageSize }),
    test: (directory) => imageFolder(at(directory, "test"), { imageSize }),
  };
}

/** The data sets of an experiment, as they are used. */
export interface ExperimentData {
  /** Name of the in-distribution set. */
  readonly name: string;
  /** The training images, without augmentation and without those held out. */
  readonly train: Dataset;
  /** The held-out training images. */
  readonly validation: Dataset;
  /** The in-distribution test images. */
  readonly test: Dataset;
  /** The out-of-distribution sets, by name. */
  readonly ood: ReadonlyMap<string, Dataset>;
  /** SHA-256 of each set as it is used. */
  readonly hashes: Readonly<Record<string, string>>;
  /** How the images of each set were resized, for sets that say so; `test` and `train` alike. */
  readonly resized: Readonly<Record<string, ResizeRecord>>;
  /** Shape [C, H, W] before conversion, of the sets whose images were converted to the shape of the training set. */
  readonly conformed: Readonly<Record<string, datasets.ImageShape>>;
  /** Sets that are missing and left out. */
  readonly skipped: readonly string[];
  /** Warnings about sets that have a few images in common with the training part. */
  readonly warnings: readonly string[];
}

export interface DataOptions {
  readonly directory: string;
  readonly readers: DatasetReaders;
  /** Whether missing out-of-distribution sets are left out instead of being an error. */
  readonly skipMissing: boolean;
}

/**
 * Reads the data sets of a configuration.
 *
 * @throws ERR_IO if data sets are missing, naming all of them; ERR_OPTION for a name without reader, and for a set of which more than 1 in 100 images are
 *   in the training part; ERR_SHAPE for images that cannot be converted to the shape of the training set; ERR_CORRUPT_FILE for a damaged file; ERR_RANGE
 *   if a subset is larger than its set
 */
export async function loadData(configuration: ResolvedConfiguration, options: DataOptions): Promise<ExperimentData> {
  const { subset, validation: held } = configuration;
  const { directory, readers, skipMissing } = options;
  const { name, reader, others } = readersOf(configuration, readers);
  const missing = new Map<string, string>();
  const present = async (set: string, read: Promise<Dataset>): Promise<Dataset | undefined> => {
    try {
      return await read;
    } catch (error) {
      // A file that is not there; one that is there and cannot be read is an error in any case.
      if (!isLibtorchOodError(error) || error.code !== "ERR_IO" || !isAbsence(error)) throw error;
      missing.set(set, error.message);
      return undefined;
    }
  };
  const everyTraining = await present(name, reader.train(directory).then(normalized));
  const [channels, imageSize] = everyTraining?.shape ?? [3, configuration.imageSize];
  const form = { channels, imageSize };
  const everyTest = await present(name, reader.test(directory, form));
  const found = new Map<string, Dataset>();
  const conformed: [string, datasets.ImageShape][] = [];
  for (const [set, other] of others) {
    const dataset = await present(set, other.test(directory, form));
    if (dataset === undefined) continue;
    const some = fewer(dataset, subset.test, `subset.test of ${set}`, 0);
    const alike = await datasets.conform(some, form);
    if (alike !== some) conformed.push([set, some.shape]);
    found.set(set, alike);
  }
  const needed = [...missing].filter(([set]) => !skipMissing || set === name || found.size === 0);
  if (needed.length > 0 || everyTraining === undefined || everyTest === undefined) {
    const list = needed.map(([set, reason]) => `${set} (${reason})`).join("; ");
    const advice = missing.has(name) || found.size === 0 ? "" : ". The option that skips missing data sets leaves them out";
    throw new LibtorchOodError("ERR_IO", `${directory}: data sets that are not there: ${list}${advice}`);
  }
  requireAlike(name, everyTraining, everyTest);
  const { train, validation } = fewer(everyTraining, subset.train, "subset.train", 0).split(held.share, held.seed);
  const test = fewer(everyTest, subset.test, "subset.test", 0);
  const sets = [...Object.entries({ train, validation, test }), ...found];
  const hashes: [string, string][] = [];
  for (const [set, dataset] of sets) hashes.push([set, await datasets.hash(dataset)]);
  const resized = sets.flatMap(([set, { resize }]) => (resize === undefined ? [] : [[set, resize] as const]));
  const warnings = await unseen(train, [["test", test], ...found]);
  return {
    ...{ name, train, validation, test, ood: found, skipped: [...missing.keys()], warnings },
    ...{ hashes: Object.fromEntries(hashes), resized: Object.fromEntries(resized), conformed: Object.fromEntries(conformed) },
  };
}

/** The reader of each set, by name. @throws ERR_OPTION for a name without reader, naming the field */
function readersOf({ inDistribution, outOfDistribution, imageSize }: ResolvedConfiguration, readers: DatasetReaders) {
  const known = Object.keys(readers);
  const readerOf = (text: string, field: string): [string, DatasetReader] => {
    const { name, folder } = datasetReference(text);
    if (folder !== undefined) return [name, folderReader(folder, imageSize, field === "inDistribution")];
    if (!known.includes(name)) {
      throw new LibtorchOodError("ERR_OPTION", `${field}: expected one of ${known.join(", ")}, found ${JSON.stringify(name)}`);
    }
    return [name, readers[name] as DatasetReader];
  };
  const [name, { train, test }] = readerOf(inDistribution, "inDistribution");
  if (train === undefined) {
    throw new LibtorchOodError("ERR_OPTION", `inDistribution: expected a data set with training images, found ${JSON.stringify(name)}`);
  }
  return { name, reader: { train, test }, others: outOfDistribution.map((text, i) => readerOf(text, `outOfDistribution[${i}]`)) };
}

/** The sets that come from folders, as the configuration writes them, by name; undefined if there are none. */
export function referencesOf({ inDistribution, outOfDistribution }: ResolvedConfiguration): Record<string, string> | undefined {
  const folders = [inDistribution, ...outOfDistribution].flatMap((text) => {
    const { name, folder } = datasetReference(text);
    return folder === undefined ? [] : [[name, text] as const];
  });
  return folders.length === 0 ? undefined : Object.fromEntries(folders);
}

/** Requires the same classes in both folders, or labels would mean different things. @throws ERR_OPTION if they differ */
function requireAlike(name: string, train: Dataset, test: Dataset): void {
  if (train.classNames.join("\0") === test.classNames.join("\0")) return;
  const only = (a: Dataset, b: Dataset): string => a.classNames.filter((known) => !b.classNames.includes(known)).join(", ") || "none";
  const found = `only in training: ${only(train, test)}; only in test: ${only(test, train)}`;
  throw new LibtorchOodError("ERR_OPTION", `${name}: expected the same classes in its training and its test part, found ${found}`);
}

/** Normalisation of the training set; that of its images if it has none, as folders of images. */
function normalized(train: Dataset): Dataset {
  return train.normalization === undefined ? train.withNormalization(datasets.computeNormalization(train)) : train;
}

/** Requires test sets that the network is not trained on. @throws ERR_OPTION if more than 1 in 100 images of one are */
async function unseen(train: Dataset, sets: readonly (readonly [string, Dataset])[]): Promise<string[]> {
  const warnings: string[] = [];
  const found = await datasets.overlap(
    train,
    sets.map(([, dataset]) => dataset),
  );
  for (const [i, [name]] of sets.entries()) {
    const effect = name === "test" ? "flatters" : "worsens";
    const rules = { allowed: false, remedy: "the two sets are to be disjoint", effect, noun: "images" } as const;
    const warning = judgeOverlap(name, found[i] as Overlap, "trained on", rules);
    if (warning !== undefined) warnings.push(warning);
  }
  return warnings;
}

/** A subset, drawn evenly and in the order of the files; it is the same on every machine. */
function fewer(dataset: Dataset, count: number | undefined, name: string, seed: number): Dataset {
  if (count === undefined || count === dataset.length) return dataset;
  if (count > dataset.length) {
    throw new LibtorchOodError("ERR_RANGE", `${name}: expected at most the ${dataset.length} images of ${dataset.name}, found ${count}`);
  }
  return dataset.subset(randomPermutation(dataset.length, seed).slice(0, count).sort());
}

/** Whether a file is missing. `findFile` looks in several places and so its error has no cause; that of a file that was opened has one. */
function isAbsence(error: LibtorchOodError): boolean {
  const code = (error.cause as { code?: unknown } | undefined)?.code;
  return error.cause === undefined || code === "ENOENT" || code === "ENOTDIR";
}
