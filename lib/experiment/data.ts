// The data sets of an experiment: read from one directory, made smaller where asked for, split, and fingerprinted.

import * as datasets from "../datasets";
import type { Dataset } from "../datasets/dataset";
import { randomPermutation } from "../datasets/random-permutation";
import { isLibtorchOodError, LibtorchOodError } from "../errors";
import type { ResizeRecord } from "../images/decode";
import { dataHash } from "../resnet/images";
import { imageRows, judgeOverlap, SeenInputs } from "../seen-inputs";
import type { ResolvedConfiguration } from "./configuration";
import type { OodName } from "./rows";

/** How a data set is read from the data directory: `train` is missing for one that is only ever told apart. */
export interface DatasetReader {
  readonly train?: (directory: string) => Promise<Dataset>;
  readonly test: (directory: string) => Promise<Dataset>;
}

/** Readers by the name that a configuration gives. */
export type DatasetReaders = Readonly<Record<string, DatasetReader>>;

type BySplit = <S extends "train" | "test">(directory: string, options: { splits: readonly S[] }) => Promise<Record<S, Dataset>>;

const { cifar10, cifar100, fashionMnist, kmnist, mnist, svhn, tinyImageNet } = datasets;

/** The data sets that the library reads, each in the layouts that its reader documents. */
export const datasetReaders: DatasetReaders = {
  cifar10: bySplit(cifar10),
  cifar100: bySplit(cifar100),
  svhn: bySplit(svhn),
  mnist: bySplit(mnist),
  "fashion-mnist": bySplit(fashionMnist),
  kmnist: bySplit(kmnist),
  "tiny-imagenet": { test: async (directory) => (await tinyImageNet(directory, { imageSize: 32 })).validation },
};

function bySplit(read: BySplit): DatasetReader {
  return {
    train: async (directory) => (await read(directory, { splits: ["train"] })).train,
    test: async (directory) => (await read(directory, { splits: ["test"] })).test,
  };
}

/** What is trained on and measured with. */
export interface ExperimentData {
  /** Un-augmented training images without those held out. */
  readonly train: Dataset;
  readonly validation: Dataset;
  readonly test: Dataset;
  readonly ood: ReadonlyMap<OodName, Dataset>;
  /** SHA-256 of each set as it is used. */
  readonly hashes: Readonly<Record<string, string>>;
  /** How images came to their size, of the sets that say it; `test` and `train` alike. */
  readonly resized: Readonly<Record<string, ResizeRecord>>;
  /** Sets that were not there. */
  readonly skipped: readonly OodName[];
  /** Sets that have a few images in common with the training part. */
  readonly warnings: readonly string[];
}

export interface DataOptions {
  readonly directory: string;
  readonly readers: DatasetReaders;
  /** Out-of-distribution sets that are not there are left out instead of being an error. */
  readonly skipMissing: boolean;
}

/**
 * @throws ERR_IO that names every data set that is not there; ERR_OPTION for a name without reader, for images of another shape, and for a set of
 *   which more than 1 in 100 images are in the training part; ERR_CORRUPT_FILE; ERR_RANGE where a subset is larger than its set
 */
export async function loadData(configuration: ResolvedConfiguration, options: DataOptions): Promise<ExperimentData> {
  const { inDistribution, outOfDistribution, subset, validation: held } = configuration;
  const { directory, readers, skipMissing } = options;
  const known = Object.keys(readers);
  for (const [index, name] of [inDistribution, ...outOfDistribution].entries()) {
    if (known.includes(name)) continue;
    const field = index === 0 ? "inDistribution" : `outOfDistribution[${index - 1}]`;
    throw new LibtorchOodError("ERR_OPTION", `${field}: expected one of ${known.join(", ")}, found ${JSON.stringify(name)}`);
  }
  const reader = readers[inDistribution] as DatasetReader;
  if (reader.train === undefined) {
    throw new LibtorchOodError(
      "ERR_OPTION",
      `inDistribution: expected a data set with training images, found ${JSON.stringify(inDistribution)}`,
    );
  }
  const missing = new Map<string, string>();
  const present = async (name: string, read: Promise<Dataset>): Promise<Dataset | undefined> => {
    try {
      return await read;
    } catch (error) {
      // A file that is not there; one that is there and cannot be read is an error in any case.
      if (!isLibtorchOodError(error) || error.code !== "ERR_IO" || !isAbsence(error)) throw error;
      missing.set(name, error.message);
      return undefined;
    }
  };
  const everyTraining = await present(inDistribution, reader.train(directory));
  const everyTest = await present(inDistribution, reader.test(directory));
  const found = new Map<OodName, Dataset>();
  for (const name of outOfDistribution) {
    const dataset = await present(name, (readers[name] as DatasetReader).test(directory));
    if (dataset) found.set(name, fewer(dataset, subset.test, `subset.test of ${name}`, 0));
  }
  const needed = [...missing].filter(([name]) => !skipMissing || name === inDistribution || found.size === 0);
  if (needed.length > 0 || everyTraining === undefined || everyTest === undefined) {
    const list = needed.map(([name, reason]) => `${name} (${reason})`).join("; ");
    const advice = missing.has(inDistribution) || found.size === 0 ? "" : ". The option that skips missing data sets leaves them out";
    throw new LibtorchOodError("ERR_IO", `${directory}: data sets that are not there: ${list}${advice}`);
  }
  const { train, validation } = fewer(everyTraining, subset.train, "subset.train", 0).split(held.share, held.seed);
  const test = fewer(everyTest, subset.test, "subset.test", 0);
  for (const [name, { shape }] of found) {
    if (shape.join() === train.shape.join()) continue;
    const expected = `images of [${train.shape.join(", ")}] as in ${inDistribution}`;
    throw new LibtorchOodError("ERR_OPTION", `outOfDistribution: ${name}: expected ${expected}, found [${shape.join(", ")}]`);
  }
  const hashes: Record<string, string> = {
    train: await dataHash([train]),
    validation: await dataHash([validation]),
    test: await dataHash([test]),
  };
  for (const [name, dataset] of found) hashes[name] = await dataHash([dataset]);
  const sets = [...Object.entries({ train, validation, test }), ...found];
  const resized = Object.fromEntries(sets.flatMap(([name, { resize }]) => (resize === undefined ? [] : [[name, resize]])));
  const warnings = await unseen(train, [["test", test], ...found]);
  return { train, validation, test, ood: found, hashes, resized, skipped: [...missing.keys()], warnings };
}

/** A network is not measured on what it was trained on. @throws ERR_OPTION */
async function unseen(train: Dataset, sets: readonly (readonly [string, Dataset])[]): Promise<string[]> {
  const seen = await SeenInputs.of(imageRows(train));
  const warnings: string[] = [];
  for (const [name, dataset] of sets) {
    const effect = name === "test" ? "flatters" : "worsens";
    const rules = { allowed: false, remedy: "the two sets are to be disjoint", effect } as const;
    const warning = judgeOverlap(name, await seen.among(imageRows(dataset)), "trained on", rules);
    if (warning !== undefined) warnings.push(warning);
  }
  return warnings;
}

/** Evenly drawn, in the order of the files; the same on every machine. */
function fewer(dataset: Dataset, count: number | undefined, name: string, seed: number): Dataset {
  if (count === undefined || count === dataset.length) return dataset;
  if (count > dataset.length) {
    throw new LibtorchOodError("ERR_RANGE", `${name}: expected at most the ${dataset.length} images of ${dataset.name}, found ${count}`);
  }
  return dataset.subset(randomPermutation(dataset.length, seed).slice(0, count).sort());
}

/** `findFile` looks at several places and so has no cause to give; a file that was to be opened has one. */
function isAbsence(error: LibtorchOodError): boolean {
  const code = (error.cause as { code?: unknown } | undefined)?.code;
  return error.cause === undefined || code === "ENOENT" || code === "ENOTDIR";
}
