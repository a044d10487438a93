// Reads a data set by its name in the catalogue.

import { oneOf, optionsObject } from "../core/checks";
import { catalogue, datasetNames, testPart, type DatasetName, type DatasetPart } from "./catalogue";
import type { Dataset } from "./dataset";
import type { DecodingOptions } from "./image-files";
import { cifar10 } from "./readers/cifar10";
import { cifar100 } from "./readers/cifar100";
import { fashionMnist, kmnist, mnist } from "./readers/mnist";
import { svhn } from "./readers/svhn";
import { tinyImageNet } from "./readers/tiny-imagenet";

/**
 * Which part of a data set {@link read} reads. Size, `maxPixels`, `truncated`, signal and progress concern Tiny ImageNet, whose images are in files that need
 * decoding.
 */
export interface ReadOptions extends Pick<DecodingOptions, "imageSize" | "maxPixels" | "truncated" | "signal" | "onProgress"> {
  /** The part. Default `"test"`, or the only part that the reader of the set gives. */
  part?: DatasetPart;
  /** Text before the file names, for the MNIST family: see {@link MnistOptions}. */
  prefix?: string;
}

const keys = ["part", "prefix", "imageSize", "maxPixels", "truncated", "signal", "onProgress"] as const;

type SplitReader = (directory: string, options: { splits: ("train" | "test")[]; prefix?: string }) => Promise<Record<string, Dataset>>;

const readers: Readonly<Record<Exclude<DatasetName, "tiny-imagenet">, SplitReader>> = {
  mnist,
  "fashion-mnist": fashionMnist,
  kmnist,
  cifar10,
  cifar100,
  svhn,
};

/**
 * Reads one part of a data set by its name in the {@link catalogue}, with the reader of that name: `read("cifar10", …)` calls {@link cifar10}.
 *
 * @param name - name of the data set
 * @param directory - the folder of its files, as its reader documents
 * @param options - the part, and options of the reader
 * @throws ERR_OPTION for another name or part; and what the reader throws
 * @example
 * import { datasets } from "libtorch-ood";
 *
 * const test = await datasets.read("svhn", "data", { part: "test" });
 */
export async function read(name: DatasetName, directory: string, options: ReadOptions = {}): Promise<Dataset> {
  const known = oneOf(name, "name", datasetNames);
  const { part: asked, prefix, ...decoding } = optionsObject(options, "options", keys);
  const part = oneOf<DatasetPart>(asked ?? testPart(known), "part", catalogue[known].parts);
  if (known === "tiny-imagenet") return (await tinyImageNet(directory, decoding)).validation;
  const found = await readers[known](directory, { splits: [part as "train"], ...(prefix === undefined ? {} : { prefix }) });
  return found[part] as Dataset;
}
