// The one catalogue of the data sets that the library knows by name: the title, the images, the classes and the parts of each.

import type { DatasetArrays, ImageShape } from "./dataset";
import { normalizations, type Normalization } from "./normalization";

/** A part of a data set as it is published. */
export type DatasetPart = "train" | "test" | "extra" | "validation";

/** What is known of a data set before its files are read. */
export interface DatasetFacts {
  /** The name of the data set in the literature, such as `"CIFAR-10"`. Its Datasets have it as {@link Dataset.set}. */
  readonly title: string;
  /** Channels, height and width of its images as they are published. */
  readonly shape: ImageShape;
  /** Number of its classes. */
  readonly numClasses: number;
  /** Class names in label order; undefined where a file of the data set holds them. */
  readonly classNames?: readonly string[];
  /** The literature's constants for its training images; undefined where no constants are in use. */
  readonly normalization?: Normalization;
  /** The parts that its reader gives. Where the data set is evaluated on, the part is `"test"`, or the last one if there is no `"test"`. */
  readonly parts: readonly DatasetPart[];
}

const facts = {
  mnist: {
    title: "MNIST",
    shape: [1, 28, 28],
    numClasses: 10,
    classNames: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    normalization: normalizations.mnist,
    parts: ["train", "test"],
  },
  "fashion-mnist": {
    title: "Fashion-MNIST",
    shape: [1, 28, 28],
    numClasses: 10,
    classNames: ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"],
    normalization: normalizations.fashionMnist,
    parts: ["train", "test"],
  },
  kmnist: {
    title: "KMNIST",
    shape: [1, 28, 28],
    numClasses: 10,
    classNames: ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"],
    parts: ["train", "test"],
  },
  cifar10: { title: "CIFAR-10", shape: [3, 32, 32], numClasses: 10, normalization: normalizations.cifar10, parts: ["train", "test"] },
  cifar100: { title: "CIFAR-100", shape: [3, 32, 32], numClasses: 100, normalization: normalizations.cifar100, parts: ["train", "test"] },
  svhn: {
    title: "SVHN",
    shape: [3, 32, 32],
    numClasses: 10,
    classNames: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    normalization: normalizations.svhn,
    parts: ["train", "test", "extra"],
  },
  "tiny-imagenet": { title: "Tiny ImageNet", shape: [3, 64, 64], numClasses: 200, parts: ["validation"] },
} as const satisfies Record<string, DatasetFacts>;

/** The names of the data sets, as the command line and configurations use them. */
export type DatasetName = keyof typeof facts;

/**
 * The data sets that the library knows, by the name that the command line and configurations use.
 *
 * @example
 * import { datasets } from "libtorch-ood";
 *
 * const { title, numClasses, shape } = datasets.catalogue.svhn; // "SVHN", 10, [3, 32, 32]
 */
export const catalogue: Readonly<Record<DatasetName, DatasetFacts>> = facts;

/** The names of the {@link catalogue}, in its order. */
export const datasetNames = Object.keys(catalogue) as DatasetName[];

/** The part that stands for the data set in an evaluation: the test images, or the only ones that have labels. */
export function testPart(name: DatasetName): DatasetPart {
  const parts: readonly DatasetPart[] = catalogue[name].parts;
  return parts.includes("test") ? "test" : (parts.at(-1) as DatasetPart);
}

/** The fields of a Dataset that was read from a part of one of these. */
export function partOf(name: DatasetName, part: DatasetPart): Pick<DatasetArrays, "name" | "part" | "shape" | "normalization"> {
  const { title, shape, normalization }: DatasetFacts = catalogue[name];
  return { name: title, part, shape, normalization };
}
